package admin

import (
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gorilla/mux"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/workload"
)

// What a caller may say of a request is bounded.
const (
	maxBodyBytes  = 1 << 20
	maxIDBytes    = 128
	maxCauseBytes = 1024
)

// request is what was asked, read and bounded.
type request struct {
	http  *http.Request
	query url.Values
}

// requestID returns what the caller calls this request, or a new name for it
// if they did not, or not in a way that can be repeated to them.
func requestID(r *http.Request) (string, error) {
	id := r.Header.Get(client.RequestIDHeader)
	switch {
	case id == "":
		return rand.Text(), nil
	case len(id) > maxIDBytes:
		return rand.Text(), broker.Refuse(broker.InvalidArgument, "%s has %d bytes, the most is %d", client.RequestIDHeader, len(id), maxIDBytes)
	case strings.IndexFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) >= 0:
		return rand.Text(), broker.Refuse(broker.InvalidArgument, "%s %.128q has something else in it than printable ASCII without spaces", client.RequestIDHeader, id)
	}
	return id, nil
}

// admit finds out who asks, and that what is asked fits the route.
func (s *server) admit(w http.ResponseWriter, raw *http.Request, at route) (*request, broker.Caller, error) {
	if origin := raw.Header.Get("Origin"); origin != "" {
		return nil, broker.Caller{}, broker.Refuse(broker.PermissionDenied, "requests that a web page makes are refused (Origin: %.100q)", origin)
	}
	who, ok := s.callers(raw.Context())
	if !ok {
		return nil, who, broker.Refuse(broker.Unauthenticated, "it is not known who asks: use the admin socket")
	}
	who.RequestID = w.Header().Get(client.RequestIDHeader)
	if err := heard(raw.Header, &who); err != nil {
		return nil, who, err
	}
	query, err := url.ParseQuery(raw.URL.RawQuery)
	if err != nil {
		return nil, who, broker.Refuse(broker.InvalidArgument, "the query is malformed: %v", err)
	}
	if err := known(query, at.query); err != nil {
		return nil, who, err
	}
	raw.Body = http.MaxBytesReader(w, raw.Body, maxBodyBytes)
	if !at.body {
		if n, _ := io.CopyN(io.Discard, raw.Body, 1); n > 0 {
			return nil, who, broker.Refuse(broker.InvalidArgument, "this request takes no body, but has one: what it needs is in the path and the query")
		}
	}
	return &request{http: raw, query: query}, who, nil
}

// heard takes from the headers what a caller may say of themselves: why they
// ask, and what they have seen.
func heard(header http.Header, who *broker.Caller) error {
	if cause := header.Get(client.CauseHeader); cause != "" {
		if len(cause) > maxCauseBytes || !utf8.ValidString(cause) || strings.ContainsFunc(cause, unicode.IsControl) {
			return broker.Refuse(broker.InvalidArgument, "%s is not a line of UTF-8 of at most %d bytes", client.CauseHeader, maxCauseBytes)
		}
		who.Cause = cause
	}
	if text := header.Get(client.SeenIndexHeader); text != "" {
		index, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return broker.Refuse(broker.InvalidArgument, "%s is %.40q: write the index of an answer, a whole number", client.SeenIndexHeader, text)
		}
		who.SeenIndex = index
	}
	return nil
}

// known refuses parameters that a route does not have: one that is ignored, a
// dry_run above all, is worse than one that is refused.
func known(query url.Values, names []string) error {
	for name, values := range query {
		switch {
		case !slices.Contains(names, name):
			return broker.Refuse(broker.InvalidArgument, "there is no query parameter %.80q here%s", name, suggest(name, names))
		case len(values) > 1 && !slices.Contains(repeatable, name):
			return broker.Refuse(broker.InvalidArgument, "query parameter %s is given %d times: give it once", name, len(values))
		}
	}
	return nil
}

// segment returns a part of the path.
func (r *request) segment(name string) (string, error) {
	text, err := url.PathUnescape(mux.Vars(r.http)[name])
	if err != nil {
		return "", broker.Refuse(broker.InvalidArgument, "%s in the path is malformed: %v", name, err)
	}
	return text, nil
}

// trustDomain returns the trust domain that the path names.
func (r *request) trustDomain() (spiffeid.TrustDomain, error) {
	text, err := r.segment("trust_domain")
	if err != nil {
		return spiffeid.TrustDomain{}, err
	}
	return trustDomain("trust domain in the path", text)
}

func trustDomain(where, text string) (spiffeid.TrustDomain, error) {
	td, err := workload.ParseTrustDomain(text)
	if err != nil {
		return td, broker.Refuse(broker.InvalidArgument, "%s: %v", where, err)
	}
	return td, nil
}

func spiffeID(where, text string) (spiffeid.ID, error) {
	id, err := workload.ParseID(text)
	if err != nil {
		return id, broker.Refuse(broker.InvalidArgument, "%s: %v", where, err)
	}
	return id, nil
}

// id returns the SPIFFE ID that the query has under name; zero if it has none.
func (r *request) id(name string) (spiffeid.ID, error) {
	if text := r.query.Get(name); text != "" {
		return spiffeID(name, text)
	}
	return spiffeid.ID{}, nil
}

// flag returns a boolean of the query; absent is false.
func (r *request) flag(name string) (bool, error) {
	value, err := r.maybe(name)
	return value != nil && *value, err
}

// maybe returns a boolean of the query, nil if it is absent.
func (r *request) maybe(name string) (*bool, error) {
	if !r.query.Has(name) {
		return nil, nil
	}
	text := r.query.Get(name)
	value := text == "true"
	if !value && text != "false" {
		return nil, broker.Refuse(broker.InvalidArgument, "%s=%.40s: write %s=true or %s=false", name, text, name, name)
	}
	return &value, nil
}

func (r *request) dryRun() (bool, error) { return r.flag("dry_run") }

// number returns a whole number of the query from least to most; absent is 0.
func (r *request) number(name string, least, most uint64) (uint64, error) {
	if !r.query.Has(name) {
		return 0, nil
	}
	text := r.query.Get(name)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, broker.Refuse(broker.InvalidArgument, "%s=%.40s: write a whole number from %d to %d", name, text, least, most)
	}
	return n, nil
}

// moment returns a time of the query, zero if it is absent.
func (r *request) moment(name string) (time.Time, error) {
	if !r.query.Has(name) {
		return time.Time{}, nil
	}
	text := r.query.Get(name)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, broker.Refuse(broker.InvalidArgument, "%s=%.40s: write a time as RFC 3339 does, such as 2026-01-31T12:00:00Z", name, text)
	}
	return t, nil
}

// page returns which part of a listing is asked for.
func (r *request) page() (registrar.Page, error) {
	size, err := r.number("page_size", 1, registrar.MaxPageSize)
	return registrar.Page{Size: int(size), Token: r.query.Get("page_token")}, err
}

// body reads a JSON document strictly. required are members that must be there.
func (r *request) body(into any, required ...string) error {
	text, err := r.raw()
	if err != nil {
		return err
	}
	return readDocument(text, into, required...)
}

// raw returns the body as it came, and that it says it is JSON.
func (r *request) raw() ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.http.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, broker.Refuse(unsupportedMediaType, "the body's Content-Type is %.100q: send JSON, and say so (application/json)", r.http.Header.Get("Content-Type"))
	}
	text, err := io.ReadAll(r.http.Body)
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, broker.Refuse(bodyTooLarge, "the body has more than %d bytes", tooLong.Limit)
	case err != nil:
		return nil, broker.Refuse(broker.InvalidArgument, "the body could not be read: %v", err)
	case len(text) == 0:
		return nil, broker.Refuse(broker.InvalidArgument, "the body is empty: send a JSON document")
	}
	return text, nil
}
