package admin_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/tests/memcluster"
)

func (s *served) create(t testing.TB, e client.Entry) client.Entry {
	t.Helper()
	return *read[client.Outcome[client.Entry]](t, s.ask(t, http.MethodPost, "/v1/entries", e), http.StatusCreated).After
}

func TestAnEntryIsCreatedReadChangedAndDeleted(t *testing.T) {
	s := serve(t, memcluster.Options{})
	ends := time.Date(2099, 1, 31, 12, 0, 0, 0, time.UTC)
	a := s.ask(t, http.MethodPost, "/v1/entries", client.Entry{
		SPIFFEID: "spiffe://acme.example/web", Selectors: []string{"unix:uid:2", "unix:gid:1"}, FederatesWith: []string{partner, bank},
		X509TTL: client.Duration(time.Hour), JWTTTL: client.Duration(time.Minute), DNSNames: []string{"web.acme.example"}, Hint: "a<b", Admin: true, ExpiresAt: ends,
	})
	made := *read[client.Outcome[client.Entry]](t, a, http.StatusCreated).After
	path := client.Path("entries", made.ID)
	if a.header.Get("Location") != path {
		t.Errorf("it is at %q, want %q", a.header.Get("Location"), path)
	}
	if !slices.Equal(made.Selectors, []string{"unix:gid:1", "unix:uid:2"}) || !slices.Equal(made.FederatesWith, []string{bank, partner}) ||
		made.ParentID != "spiffe://acme.example/spire/agent/concord" || !made.Admin || made.Hint != "a<b" || !made.ExpiresAt.Equal(ends) || made.CreatedAt.IsZero() {
		t.Errorf("made %+v", made)
	}
	if got := get[client.Entry](t, s, path); fmt.Sprint(got) != fmt.Sprint(made) {
		t.Errorf("read %+v, made %+v", got, made)
	}
	changed := read[client.Outcome[client.Entry]](t, s.ask(t, http.MethodPatch, path,
		`{"hint":"","dns_names":[],"admin":false,"x509_svid_ttl":90,"selectors":["unix:uid:3"],"federates_with":["bank.example"]}`), http.StatusOK)
	after := *changed.After
	if changed.Before.Hint != "a<b" || after.Hint != "" || len(after.DNSNames) != 0 || after.Admin || after.X509TTL != client.Duration(90*time.Second) ||
		after.JWTTTL != made.JWTTTL || !slices.Equal(after.Selectors, []string{"unix:uid:3"}) || after.Revision != made.Revision+1 || changed.Index <= 1 {
		t.Errorf("changed %+v to %+v", changed.Before, after)
	}
	gone := read[client.Outcome[client.Entry]](t, s.ask(t, http.MethodDelete, path, nil), http.StatusOK)
	if gone.After != nil || gone.Before == nil {
		t.Errorf("deleted %+v", gone)
	}
	wantError(t, s.ask(t, http.MethodGet, path, nil), http.StatusNotFound, "not_found", made.ID)
	wantError(t, s.ask(t, http.MethodDelete, path, nil), http.StatusNotFound, "not_found", made.ID)
	wantError(t, s.ask(t, http.MethodPatch, path, `{"hint":"x"}`), http.StatusNotFound, "not_found", made.ID)
}

func TestAnEntryThatIsInTheWayIsNamed(t *testing.T) {
	f := furnish(t)
	same := client.Entry{SPIFFEID: "spiffe://acme.example/web", Selectors: []string{"unix:uid:1"}}
	wantError(t, f.ask(t, http.MethodPost, "/v1/entries", same), http.StatusConflict, "already_exists", entryID)
}

func TestAnEntryThatIsWrongIsRefused(t *testing.T) {
	s := serve(t, memcluster.Options{})
	for name, c := range map[string]struct {
		body string
		says string
	}{
		"of another domain":     {`{"spiffe_id":"spiffe://bank.example/x","selectors":["unix:uid:1"]}`, "not in this trust domain"},
		"under a reserved path": {`{"spiffe_id":"spiffe://acme.example/spire/x","selectors":["unix:uid:1"]}`, "reserved"},
		"without an ID":         {`{"selectors":["unix:uid:1"]}`, "spiffe_id"},
		"with an ID like one":   {`{"spiffe_id":"spiffe://acme.example/a/../b","selectors":["unix:uid:1"]}`, "spiffe_id"},
		"without selectors":     {`{"spiffe_id":"spiffe://acme.example/x"}`, "selectors are missing"},
		"with a bad selector":   {`{"spiffe_id":"spiffe://acme.example/x","selectors":["uid"]}`, "uid"},
		"with a bad parent":     {`{"spiffe_id":"spiffe://acme.example/x","parent_id":"n1","selectors":["unix:uid:1"]}`, "parent_id"},
		"with a bad domain":     {`{"spiffe_id":"spiffe://acme.example/x","federates_with":["Bank"],"selectors":["unix:uid:1"]}`, "federates_with"},
		"with a bad lifetime":   {`{"spiffe_id":"spiffe://acme.example/x","x509_svid_ttl":-5,"selectors":["unix:uid:1"]}`, "x509_svid_ttl"},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, s.ask(t, http.MethodPost, "/v1/entries", c.body, wrong), http.StatusBadRequest, "invalid_argument", c.says)
		})
	}
	path := client.Path("entries", s.create(t, client.Entry{SPIFFEID: "spiffe://acme.example/x", Selectors: []string{"unix:uid:1"}}).ID)
	for name, body := range map[string]string{
		"nothing": `{}`, "a revision only": `{"if_revision":0}`, "an ID that is none": `{"spiffe_id":"x"}`, "a parent that is none": `{"parent_id":"x"}`,
		"a selector that is none": `{"selectors":["x"]}`, "a domain that is none": `{"federates_with":["X"]}`,
	} {
		t.Run("changed to "+name, func(t *testing.T) {
			wantError(t, s.ask(t, http.MethodPatch, path, body, wrong), http.StatusBadRequest, "invalid_argument")
		})
	}
}

// TestAChangeOfWhatSomebodyElseChangedIsAborted sends a revision that is old.
func TestAChangeOfWhatSomebodyElseChangedIsAborted(t *testing.T) {
	f := furnish(t)
	path := client.Path("entries", entryID)
	read[client.Outcome[client.Entry]](t, f.ask(t, http.MethodPatch, path, `{"hint":"a","if_revision":0}`), http.StatusOK)
	wantError(t, f.ask(t, http.MethodPatch, path, `{"hint":"b","if_revision":0}`), http.StatusConflict, "aborted", "revision 1, not 0")
	read[client.Outcome[client.Entry]](t, f.ask(t, http.MethodPatch, path, `{"hint":"b"}`), http.StatusOK)
}

func TestEntriesAreFilteredAndPaged(t *testing.T) {
	s := serve(t, memcluster.Options{})
	agent := s.ID(agentPath).String()
	for i := range 5 {
		e := client.Entry{
			ID: fmt.Sprintf("e%d", i), SPIFFEID: fmt.Sprintf("spiffe://acme.example/w%d", i%2), Hint: fmt.Sprintf("h%d", i%2),
			Selectors: []string{"unix:gid:7", fmt.Sprintf("unix:uid:%d", i)}, FederatesWith: []string{bank, partner}[:i%3], Downstream: i == 3,
		}
		if i == 4 {
			e.ParentID = agent
		}
		s.create(t, e)
	}
	for query, want := range map[string]string{
		"":                                     "e0 e1 e2 e3 e4",
		"?spiffe_id=spiffe://acme.example/w1":  "e1 e3",
		"?parent_id=" + url.QueryEscape(agent): "e4",
		"?selector=unix:gid:7":                 "e0 e1 e2 e3 e4",
		"?selector=unix:gid:7&selector=unix:uid:2":               "e2",
		"?federates_with=" + bank:                                "e1 e2 e4",
		"?federates_with=" + bank + "&federates_with=" + partner: "e2",
		"?hint=h0":                  "e0 e2 e4",
		"?downstream=true":          "e3",
		"?downstream=false&hint=h1": "e1",
		"?selector=unix:uid:9":      "",
	} {
		t.Run(query, func(t *testing.T) {
			var all []string
			for _, e := range get[client.Entries](t, s, "/v1/entries"+query).Entries {
				all = append(all, e.ID)
			}
			if got := fmt.Sprint(all); got != "["+want+"]" {
				t.Errorf("listed %s, want %s", got, want)
			}
		})
	}
	var all []string
	for query := "?page_size=2"; query != ""; {
		page := get[client.Entries](t, s, "/v1/entries"+query)
		for _, e := range page.Entries {
			all = append(all, e.ID)
		}
		if len(page.Entries) > 2 || page.Index != s.View().Index() {
			t.Errorf("page %+v", page)
		}
		if query = ""; page.Next != "" {
			query = "?page_size=2&page_token=" + url.QueryEscape(page.Next)
		}
	}
	if fmt.Sprint(all) != "[e0 e1 e2 e3 e4]" {
		t.Errorf("paged through %v", all)
	}
}

func TestAgentsAreListedBannedAndForgotten(t *testing.T) {
	f := furnish(t)
	f.Do(t, state.PutAgent{Agent: state.Agent{ID: f.ID("/spire/agent/join_token/x"), Method: "join_token", CertNotAfter: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}})
	list := func(query string) (ids []string) {
		for _, a := range get[client.Agents](t, f.served, "/v1/agents"+query).Agents {
			ids = append(ids, a.Method)
		}
		return ids
	}
	for query, want := range map[string]string{
		"": "[concord:node join_token]", "?method=join_token": "[join_token]", "?selector=concord:node": "[concord:node]",
		"?banned=false": "[concord:node join_token]", "?banned=true": "[]", "?can_reattest=false": "[join_token]",
		"?expires_before=2030-01-01T00:00:00Z": "[concord:node]", "?expires_before=2030-01-01T00:00:01Z": "[concord:node join_token]",
	} {
		if got := fmt.Sprint(list(query)); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	path := client.Path("agents", f.ID(agentPath).String())
	banned := read[client.Outcome[client.Agent]](t, f.ask(t, http.MethodPost, path+"/ban", nil), http.StatusOK)
	if banned.Before.Banned || !banned.After.Banned || !get[client.Agent](t, f.served, path).Banned || fmt.Sprint(list("?banned=true")) != "[concord:node]" {
		t.Errorf("banned: %+v", banned)
	}
	if gone := read[client.Outcome[client.Agent]](t, f.ask(t, http.MethodDelete, path, nil), http.StatusOK); gone.After != nil {
		t.Errorf("deleted: %+v", gone)
	}
	for _, a := range []answer{f.ask(t, http.MethodGet, path, nil), f.ask(t, http.MethodDelete, path, nil), f.ask(t, http.MethodPost, path+"/ban", nil)} {
		wantError(t, a, http.StatusNotFound, "not_found", "/spire/agent/concord/n1")
	}
}
