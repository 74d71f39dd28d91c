package admin_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/memcluster"
)

func TestWhatIsNoRequestIsRefusedAndSaysWhy(t *testing.T) {
	f := furnish(t)
	webEntry := client.Path("entries", entryID)
	for name, c := range map[string]struct {
		method, path string
		body         any
		change       func(*http.Request)
		status       int
		code         string
		says         []string
	}{
		"no such resource":                 {"GET", "/v1/entrys", nil, wrong, 404, "not_found", []string{"/v1/openapi.yaml"}},
		"a path with nothing at its end":   {"GET", "/v1/entries/", nil, wrong, 404, "not_found", nil},
		"a path that begins otherwise":     {"GET", "/entries", nil, wrong, 404, "not_found", nil},
		"a path that is not clean":         {"GET", "/v1//entries", nil, wrong, 404, "not_found", nil},
		"a path that climbs":               {"GET", "/v1/entries/../status", nil, wrong, 404, "not_found", nil},
		"a method that is not there":       {"PUT", webEntry, nil, wrong, 405, "method_not_allowed", []string{"GET, PATCH, DELETE"}},
		"a query that is malformed":        {"GET", "/v1/entries?a=%zz", nil, wrong, 400, "invalid_argument", []string{"%zz"}},
		"a parameter that is near another": {"DELETE", webEntry + "?dryrun=true", nil, wrong, 400, "invalid_argument", []string{`"dryrun"`, `nearest is "dry_run"`}},
		"a parameter that is near nothing": {"GET", "/v1/entries?colour=blue", nil, wrong, 400, "invalid_argument", []string{`"colour"`, "federates_with"}},
		"a parameter where there is none":  {"GET", "/v1/status?x=1", nil, wrong, 400, "invalid_argument", []string{"none at all"}},
		"a very long parameter":            {"GET", "/v1/entries?" + strings.Repeat("x", 4000) + "=1", nil, wrong, 400, "invalid_argument", nil},
		"a parameter twice":                {"DELETE", webEntry + "?dry_run=true&dry_run=false", nil, wrong, 400, "invalid_argument", []string{"dry_run", "2 times"}},
		"a dry run without a value":        {"DELETE", webEntry + "?dry_run", nil, wrong, 400, "invalid_argument", []string{"dry_run=true"}},
		"a dry run that says yes":          {"DELETE", webEntry + "?dry_run=yes", nil, wrong, 400, "invalid_argument", []string{"yes"}},
		"a page of no size":                {"GET", "/v1/entries?page_size=0", nil, wrong, 400, "invalid_argument", []string{"from 1 to 1000"}},
		"a page that is too large":         {"GET", "/v1/entries?page_size=1001", nil, wrong, 400, "invalid_argument", []string{"from 1 to 1000"}},
		"a token that was not given out":   {"GET", "/v1/entries?page_token=x", nil, nil, 400, "invalid_argument", []string{"page token"}},
		"a token of another listing":       {"GET", "/v1/agents?page_token=ZXdlYi0x", nil, nil, 400, "invalid_argument", []string{"page token"}},
		"a moment in another form":         {"GET", "/v1/agents?expires_before=tomorrow", nil, wrong, 400, "invalid_argument", []string{"RFC 3339"}},
		"an ID that is none":               {"GET", "/v1/entries?spiffe_id=acme", nil, wrong, 400, "invalid_argument", []string{"spiffe_id"}},
		"a selector that is none":          {"GET", "/v1/entries?selector=unix", nil, wrong, 400, "invalid_argument", []string{"unix"}},
		"a use that is none":               {"POST", "/v1/authorities/wit/prepare", nil, wrong, 400, "invalid_argument", []string{"x509 or jwt"}},
		"a mode that is none":              {"DELETE", "/v1/bundles/" + partner + "?mode=all", nil, wrong, 400, "invalid_argument", []string{"dissociate"}},
		"a trust domain that is none":      {"GET", "/v1/bundles/Bank", nil, wrong, 400, "invalid_argument", []string{"trust domain in the path"}},
		"an agent that is none":            {"GET", "/v1/agents/n1", nil, wrong, 400, "invalid_argument", []string{"agent ID in the path"}},
		"an entry that is not there":       {"GET", "/v1/entries/db-1", nil, nil, 404, "not_found", []string{"db-1"}},
		"a body where none belongs":        {"DELETE", webEntry, "{}", wrong, 400, "invalid_argument", []string{"takes no body"}},
		"no body where one belongs":        {"POST", "/v1/entries", "", wrong, 400, "invalid_argument", []string{"empty"}},
		"a body that is not JSON":          {"POST", "/v1/entries", "x", header("Content-Type", "text/plain"), 415, "unsupported_media_type", []string{"text/plain"}},
		"a body that does not say what":    {"POST", "/v1/entries", "{}", header("Content-Type", ""), 415, "unsupported_media_type", []string{"application/json"}},
		"a body that is too long":          {"POST", "/v1/entries", strings.Repeat(" ", 1<<20+1), wrong, 413, "body_too_large", []string{"1048576"}},
		"a bundle that is too long":        {"PUT", "/v1/bundles/" + bank, strings.Repeat(" ", 1<<20+1), wrong, 413, "body_too_large", []string{"1048576"}},
		"a web page":                       {"GET", "/v1/status", nil, header("Origin", "https://evil.example"), 403, "permission_denied", []string{"web page"}},
		"a long request ID":                {"GET", "/v1/status", nil, called(strings.Repeat("x", 129)), 400, "invalid_argument", []string{"129 bytes"}},
		"a request ID with a space":        {"GET", "/v1/status", nil, called("a b"), 400, "invalid_argument", []string{"printable"}},
		"a request ID that is not ASCII":   {"GET", "/v1/status", nil, called("é"), 400, "invalid_argument", []string{"printable"}},
		"a cause that is not UTF-8":        {"GET", "/v1/status", nil, header(client.CauseHeader, "\xff"), 400, "invalid_argument", []string{client.CauseHeader}},
		"a long cause":                     {"GET", "/v1/status", nil, header(client.CauseHeader, strings.Repeat("x", 1025)), 400, "invalid_argument", []string{"1024 bytes"}},
		"a cause of two lines":             {"GET", "/v1/status", nil, header(client.CauseHeader, "a\tb"), 400, "invalid_argument", []string{client.CauseHeader}},
		"an index that is none":            {"GET", "/v1/status", nil, header(client.SeenIndexHeader, "-1"), 400, "invalid_argument", []string{client.SeenIndexHeader}},
	} {
		t.Run(name, func(t *testing.T) {
			digest := f.View().Digest()
			change := []func(*http.Request){wrong}
			if c.change == nil {
				change = nil
			} else {
				change = append(change, c.change)
			}
			a := f.ask(t, c.method, c.path, c.body, change...)
			wantError(t, a, c.status, c.code, c.says...)
			if a.header.Get(client.RequestIDHeader) == "" {
				t.Error("the answer has no request ID")
			}
			if f.View().Digest() != digest {
				t.Error("it changed something")
			}
		})
	}
}

func TestARefusedMethodNamesTheOthers(t *testing.T) {
	s := serve(t, memcluster.Options{})
	for path, want := range map[string]string{"/v1/entries": "GET, POST", "/v1/entries/x": "GET, PATCH, DELETE", "/v1/log-level": "GET, PUT, DELETE"} {
		if got := s.ask(t, http.MethodOptions, path, nil, wrong).header.Get("Allow"); got != want {
			t.Errorf("%s allows %q, want %q", path, got, want)
		}
	}
}

func TestEveryAnswerIsCalledWhatItsRequestIs(t *testing.T) {
	f := furnish(t)
	if got := f.ask(t, http.MethodGet, "/v1/status", nil, called("mine-1")).header.Get(client.RequestIDHeader); got != "mine-1" {
		t.Errorf("called %q", got)
	}
	a := f.do(t, "POST /v1/entries", header(client.CauseHeader, "CHG-4711 für uns"))
	made := a.header.Get(client.RequestIDHeader)
	records := f.Records()
	last := records[len(records)-1]
	if made == "" || !strings.HasPrefix(last.RequestID, made+".") || last.Cause != "CHG-4711 für uns" || last.Actor != memcluster.Admin.Name {
		t.Errorf("the answer is called %q, its record is %+v", made, last)
	}
}

func TestAReadWaitsForWhatItsCallerHasSeen(t *testing.T) {
	s := serve(t, memcluster.Options{Lagging: true})
	before := s.View().Index()
	s.Do(t, state.PutSettings{Settings: state.DefaultSettings()})
	ask := func(seen uint64, want int) {
		t.Helper()
		if a := s.ask(t, http.MethodGet, "/v1/status", nil, header(client.SeenIndexHeader, strconv.FormatUint(seen, 10))); a.status != want {
			t.Errorf("seen %d: %d %s", seen, a.status, a.body)
		}
	}
	ask(0, 200)
	ask(before, 200)
	ask(before+1, 503) // the member lags
	s.Lagging.OnWait(s.Lagging.CatchUp)
	ask(before+1, 200) // it catches up while the caller waits
	if got := s.Lagging.View().Index(); got != before+1 {
		t.Errorf("nobody waited: the member is at %d, not at %d", got, before+1)
	}
}

func TestWhatIsNotForTheCallerIsLoggedAndNotShown(t *testing.T) {
	f := furnish(t)
	secret := errors.New("disk " + canary + " is on fire")
	refuse := func(spiffeid.TrustDomain) (federation.Status, error) { return federation.Status{}, secret }
	for name, fail := range map[string]func() (verb string, change func(*http.Request)){
		"an error of a proposal": func() (string, func(*http.Request)) {
			f.BeforePropose(func(state.Command) error { return secret })
			return "POST /v1/entries", called("r-1")
		},
		"an error of a signature": func() (string, func(*http.Request)) {
			f.Signer.Fail(secret)
			return "POST /v1/svids/jwt", called("r-1")
		},
		"an error of a poll": func() (string, func(*http.Request)) {
			f.Peers.OnRefresh(refuse)
			return "POST /v1/federation/{trust_domain}/refresh", called("r-1")
		},
		"a code that is not known": func() (string, func(*http.Request)) {
			f.BeforePropose(func(state.Command) error { return broker.Refuse("odd", "%v", secret) })
			return "POST /v1/entries", called("r-1")
		},
		"a panic": func() (string, func(*http.Request)) {
			return "GET /v1/status", func(r *http.Request) { called("r-1")(r); as("panic")(r) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			verb, change := fail()
			before := len(f.log.String())
			a := f.do(t, verb, change)
			wantError(t, a, http.StatusInternalServerError, "internal", "the node's log")
			if strings.Contains(string(a.body), canary) {
				t.Errorf("the caller is told: %s", a.body)
			}
			if logged := f.log.String()[before:]; !strings.Contains(logged, canary) || !strings.Contains(logged, "request_id=r-1") {
				t.Errorf("the log says: %s", logged)
			}
		})
	}
}

func TestAHandlerThatAbortsIsLeftToTheServer(t *testing.T) {
	s := serve(t, memcluster.Options{})
	recorder := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("panicked with %v", p)
		}
	}()
	s.Peers.OnRefresh(func(spiffeid.TrustDomain) (federation.Status, error) { panic(http.ErrAbortHandler) })
	s.ask(t, http.MethodPost, "/v1/federation", relationshipWith(bank, domainNamed(t, bank)))
	request := httptest.NewRequest(http.MethodPost, "/v1/federation/"+bank+"/refresh", nil)
	said(s.api).ServeHTTP(recorder, request)
}

func TestANodeWithoutALeaderSaysThatItIsUnavailable(t *testing.T) {
	f := furnish(t)
	f.BeforePropose(func(state.Command) error { return broker.Refuse(broker.Unavailable, "no leader is known: try again") })
	for _, name := range writes() {
		wantError(t, f.do(t, name), http.StatusServiceUnavailable, "unavailable", "no leader")
	}
}
