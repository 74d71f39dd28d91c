package admin_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/memcluster"
)

func TestARelationshipIsMadeMovedAndEnded(t *testing.T) {
	s := serve(t, memcluster.Options{})
	in := relationshipWith(bank, domainNamed(t, bank))
	a := s.ask(t, http.MethodPost, "/v1/federation", in)
	made := *read[client.Outcome[client.Relationship]](t, a, http.StatusCreated).After
	if a.header.Get("Location") != "/v1/federation/"+bank || made.URL != in.URL || made.EndpointID != in.EndpointID || made.CreatedAt.IsZero() {
		t.Errorf("made %+v at %s", made, a.header.Get("Location"))
	}
	wantError(t, s.ask(t, http.MethodPost, "/v1/federation", in), http.StatusConflict, "already_exists", bank)

	// What was read is sent back, changed.
	got := client.NewRelationship{Relationship: get[client.Relationship](t, s, "/v1/federation/"+bank)}
	got.URL = "https://elsewhere.example"
	put := func() answer { return s.ask(t, http.MethodPut, "/v1/federation/"+bank, got) }
	moved := read[client.Outcome[client.Relationship]](t, put(), http.StatusOK)
	if moved.Before.URL != in.URL || moved.After.URL != got.URL || moved.After.Revision != 1 {
		t.Errorf("moved %+v", moved)
	}
	wantError(t, put(), http.StatusConflict, "aborted", "revision 1, not 0")
	web := `{"url":"https://elsewhere.example","profile":"https_web"}`
	changed := read[client.Outcome[client.Relationship]](t, s.ask(t, http.MethodPut, "/v1/federation/"+bank, web), http.StatusOK)
	if changed.After.EndpointID != "" || changed.After.Profile != "https_web" || changed.After.Revision != 2 {
		t.Errorf("changed %+v", changed)
	}
	if held := get[client.Bundle](t, s, "/v1/bundles/"+bank); held.Origin != "operator" {
		t.Errorf("the bundle that is held: %+v", held)
	}
	gone := read[client.Outcome[client.Relationship]](t, s.ask(t, http.MethodDelete, "/v1/federation/"+bank, nil), http.StatusOK)
	if gone.Before == nil || gone.After != nil {
		t.Errorf("ended %+v", gone)
	}
	for _, a := range []answer{
		s.ask(t, http.MethodGet, "/v1/federation/"+bank, nil), s.ask(t, http.MethodDelete, "/v1/federation/"+bank, nil), put(),
		s.ask(t, http.MethodPost, "/v1/federation/"+bank+"/refresh", nil), s.ask(t, http.MethodGet, "/v1/bundles/"+bank, nil),
	} {
		wantError(t, a, http.StatusNotFound, "not_found", bank)
	}
}

func TestARelationshipThatIsWrongIsRefused(t *testing.T) {
	f := furnish(t)
	for name, c := range map[string]struct{ path, body, says string }{
		"with ourselves":           {"", `{"trust_domain":"acme.example","url":"https://x.example","profile":"https_web"}`, "this trust domain itself"},
		"without a name":           {"", `{"url":"https://x.example","profile":"https_web"}`, "trust_domain"},
		"without a URL":            {"", `{"trust_domain":"bank.example","profile":"https_web"}`, "URL"},
		"not by https":             {"", `{"trust_domain":"bank.example","url":"http://x.example","profile":"https_web"}`, "https"},
		"of another profile":       {"", `{"trust_domain":"bank.example","url":"https://x.example","profile":"web"}`, "profile"},
		"without an endpoint's ID": {"", `{"trust_domain":"bank.example","url":"https://x.example","profile":"https_spiffe"}`, "SPIFFE ID"},
		"with an ID that is none":  {"", `{"trust_domain":"bank.example","url":"https://x.example","profile":"https_spiffe","endpoint_id":"x"}`, "endpoint_id"},
		"with a bundle of nothing": {"", `{"trust_domain":"bank.example","url":"https://x.example","profile":"https_web","bundle":{}}`, "bundle of bank.example"},
		"with another one's name":  {"/" + partner, `{"trust_domain":"bank.example","url":"https://x.example","profile":"https_web"}`, "the path says"},
	} {
		t.Run(name, func(t *testing.T) {
			method := http.MethodPost
			if c.path != "" {
				method = http.MethodPut
			}
			wantError(t, f.ask(t, method, "/v1/federation"+c.path, c.body, wrong), http.StatusBadRequest, "invalid_argument", c.says)
		})
	}
}

func TestARelationshipShowsHowItFares(t *testing.T) {
	f := furnish(t)
	td := spiffeid.RequireTrustDomainFromString(partner)
	now := time.Now().UTC().Truncate(time.Second)
	fares := federation.Status{
		State: federation.StateDegraded, Sequence: 1, Age: 90 * time.Second, Hint: time.Minute, LastSuccess: now.Add(-90 * time.Second), LastAttempt: now,
		LastError: "the endpoint answered 500", NextPoll: now.Add(time.Minute), Polls: 7, Changes: 2, Bytes: 1234, Alarms: []string{"equal sequence, other content"},
	}
	f.Peers.Set(td, fares)
	for _, a := range []answer{f.ask(t, http.MethodGet, "/v1/federation/"+partner, nil), f.ask(t, http.MethodPost, "/v1/federation/"+partner+"/refresh", nil)} {
		st := read[client.Relationship](t, a, http.StatusOK).Status
		if st.State != "degraded" || time.Duration(st.Age) != fares.Age || st.LastError != fares.LastError || len(st.Alarms) != 1 || st.Polls != 7 ||
			!st.NextPoll.Equal(fares.NextPoll) || st.X509 != 2 || st.JWT != 2 || st.Sequence != f.View().Foreign(td).Bundle.Sequence {
			t.Errorf("fares %+v", st)
		}
	}
	list := get[client.Relationships](t, f.served, "/v1/federation")
	if len(list.Relationships) != 1 || list.Relationships[0].Status.State != "degraded" {
		t.Errorf("listed %+v", list)
	}
	if peers := get[client.Status](t, f.served, "/v1/status").Peers; len(peers) != 1 || peers["degraded"] != 1 {
		t.Errorf("counted %v", peers)
	}
}

func TestABundleIsSetShownAndDeleted(t *testing.T) {
	f := furnish(t)
	set := read[client.Outcome[client.Bundle]](t, f.ask(t, http.MethodPut, "/v1/bundles/"+bank, f.document), http.StatusOK)
	if set.Before != nil || !bytes.Equal(set.After.Document, f.document) || set.After.Origin != "operator" {
		t.Errorf("set %+v", set)
	}
	b := get[client.Bundle](t, f.served, "/v1/bundles/"+bank)
	if !bytes.Equal(b.Document, f.document) || len(b.X509) != 2 || len(b.JWT) != 2 || b.JWT[0].Kind != "EC P-256" || len(b.X509[0].SHA256) != 64 || b.TrustDomain != bank {
		t.Errorf("shown %+v", b)
	}
	list := get[client.Bundles](t, f.served, "/v1/bundles")
	if len(list.Bundles) != 2 || list.Bundles[0].TrustDomain != bank || list.Bundles[0].Document != nil {
		t.Errorf("listed %+v", list)
	}
	f.create(t, client.Entry{ID: "friend", SPIFFEID: "spiffe://acme.example/f", Selectors: []string{"unix:uid:9"}, FederatesWith: []string{bank}})
	wantError(t, f.ask(t, http.MethodDelete, "/v1/bundles/"+bank+"?mode=restrict", nil), http.StatusConflict, "failed_precondition", "friend")
	if gone := read[client.Outcome[client.Bundle]](t, f.ask(t, http.MethodDelete, "/v1/bundles/"+bank+"?mode=dissociate", nil), http.StatusOK); gone.After != nil {
		t.Errorf("deleted %+v", gone)
	}
	if e := get[client.Entry](t, f.served, "/v1/entries/friend"); len(e.FederatesWith) != 0 {
		t.Errorf("the entry federates with %v", e.FederatesWith)
	}
	wantError(t, f.ask(t, http.MethodDelete, "/v1/bundles/"+bank, nil), http.StatusNotFound, "not_found", bank)
}

func TestABundleThatIsHostileIsRefused(t *testing.T) {
	f := furnish(t)
	own := string(f.View().Own().Document)
	for name, c := range map[string]struct {
		path, body string
		status     int
		code, says string
	}{
		"no keys":            {bank, `{}`, 400, "invalid_argument", "keys"},
		"null keys":          {bank, `{"keys":null}`, 400, "invalid_argument", "keys"},
		"keys twice":         {bank, `{"keys":[],"keys":[]}`, 400, "invalid_argument", "twice"},
		"keys that are none": {bank, `{"keys":{}}`, 400, "invalid_argument", "keys"},
		"a deep one":         {bank, `{"keys":[],"x":` + strings.Repeat("[", 50_000), 400, "invalid_argument", "deep"},
		"rubbish behind it":  {bank, `{"keys":[]}x`, 400, "invalid_argument", "after the end"},
		"our own domain":     {acme, `{"keys":[]}`, 400, "invalid_argument", "this trust domain itself"},
		"our own keys":       {bank, own, 409, "failed_precondition", "bank.example"},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, f.ask(t, http.MethodPut, "/v1/bundles/"+c.path, c.body, wrong), c.status, c.code, c.says)
		})
	}
}
