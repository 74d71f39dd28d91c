package admin

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gorilla/mux"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/workload"
)

const (
	maxBodyBytes = 1 << 20
	maxIDBytes   = 128 // of a request ID
)

// request is what was asked, read and bounded.
type request struct {
	http  *http.Request
	query url.Values
}

// admit finds out who asks and says which request this is.
func (s *server) admit(w http.ResponseWriter, raw *http.Request) (*request, broker.Caller, error) {
	id := raw.Header.Get(client.RequestIDHeader)
	if id == "" {
		id = rand.Text()
	}
	if len(id) > maxIDBytes {
		return nil, broker.Caller{}, broker.Refuse(broker.InvalidArgument, "%s has %d bytes, the most is %d", client.RequestIDHeader, len(id), maxIDBytes)
	}
	w.Header().Set(client.RequestIDHeader, id)
	if origin := raw.Header.Get("Origin"); origin != "" {
		return nil, broker.Caller{}, broker.Refuse(broker.PermissionDenied, "requests that a web page makes are refused (Origin: %.100q)", origin)
	}
	who, ok := s.callers(raw.Context())
	if !ok {
		return nil, broker.Caller{}, broker.Refuse(broker.Unauthenticated, "it is not known who asks: use the admin socket")
	}
	who.RequestID = id
	if cause := raw.Header.Get(client.CauseHeader); cause != "" {
		who.Cause = cause
	}
	query, err := url.ParseQuery(raw.URL.RawQuery)
	if err != nil {
		return nil, broker.Caller{}, broker.Refuse(broker.InvalidArgument, "the query is malformed: %v", err)
	}
	raw.Body = http.MaxBytesReader(w, raw.Body, maxBodyBytes)
	return &request{http: raw, query: query}, who, nil
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
	return trustDomain("the path", text)
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

// flag returns a boolean of the query; absent is false.
func (r *request) flag(name string) (bool, error) {
	text := r.query.Get(name)
	if text == "" {
		return false, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, broker.Refuse(broker.InvalidArgument, "%s=%.40q: write true or false", name, text)
	}
	return value, nil
}

func (r *request) dryRun() (bool, error) { return r.flag("dry_run") }

// page returns which part of a listing is asked for.
func (r *request) page() (registrar.Page, error) {
	p := registrar.Page{Token: r.query.Get("page_token")}
	if text := r.query.Get("page_size"); text != "" {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 {
			return p, broker.Refuse(broker.InvalidArgument, "page_size=%.40q: write a number from 1 to %d", text, registrar.MaxPageSize)
		}
		p.Size = size
	}
	return p, nil
}

// body reads a JSON document strictly: every member is known, and nothing
// follows it.
func (r *request) body(into any) error {
	kind, _, err := mime.ParseMediaType(r.http.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return broker.Refuse(broker.InvalidArgument, "the body's Content-Type is %.100q, want application/json", r.http.Header.Get("Content-Type"))
	}
	text, err := io.ReadAll(r.http.Body)
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return broker.Refuse(broker.InvalidArgument, "the body has more than %d bytes", tooLong.Limit)
	}
	if err != nil {
		return broker.Refuse(broker.InvalidArgument, "the body could not be read: %v", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return malformed(err, decoder.InputOffset())
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return broker.Refuse(broker.InvalidArgument, "the body goes on after its document ends, at byte %d", decoder.InputOffset())
	}
	return nil
}

func malformed(err error, at int64) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = syntax.Offset
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return broker.Refuse(broker.InvalidArgument, "the body is malformed at byte %d: %s is %s, want %s", kind.Offset, kind.Field, kind.Value, kind.Type)
	}
	return broker.Refuse(broker.InvalidArgument, "the body is malformed at byte %d: %v", at, err)
}

// write answers with a JSON document.
func write(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, fmt.Appendf(nil, `{"error":{"code":"internal","detail":"internal error"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(text, '\n')) // the caller may have hung up: nothing to do about it
}
