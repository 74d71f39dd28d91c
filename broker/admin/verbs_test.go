package admin_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memcluster"
)

const (
	partner   = "partner.example"
	entryID   = "web-1"
	agentPath = "/spire/agent/concord/n1"
)

// furnished is a cluster that has one of everything.
type furnished struct {
	*served
	document      []byte // bank's bundle, which is not held
	prepared, old string // X.509 authorities
	active        string
}

func furnish(t testing.TB) *furnished {
	t.Helper()
	f := &furnished{served: serve(t, memcluster.Options{})}
	f.document = domainNamed(t, bank)
	f.Do(t, state.PutAgent{Agent: state.Agent{
		ID: f.ID(agentPath), Method: "concord:node", Selectors: []attest.Selector{{Type: "concord", Value: "node"}}, AttestedAt: time.Now().UTC(),
	}})
	f.members(t)
	f.ask(t, http.MethodPost, "/v1/entries", client.Entry{ID: entryID, SPIFFEID: "spiffe://acme.example/web", Selectors: []string{"unix:uid:1"}})
	f.ask(t, http.MethodPost, "/v1/federation", relationshipWith(partner, domainNamed(t, partner)))
	// One authority of each use has turned: X.509 has a new one waiting, JWT none.
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		f.turn(t, use)
	}
	if _, err := f.Registrar.PrepareAuthority(t.Context(), memcluster.Admin, registrar.PrepareAuthority{Use: ca.X509}); err != nil {
		t.Fatal(err)
	}
	f.old, f.active, f.prepared = f.authority(t, ca.X509, ca.Old), f.authority(t, ca.X509, ca.Active), f.authority(t, ca.X509, ca.Prepared)
	return f
}

// members makes the cluster one of two.
func (f *furnished) members(t testing.TB) {
	t.Helper()
	first, second, token := strings.Repeat("1", 64), strings.Repeat("2", 64), strings.Repeat("3", 64)
	member := state.Member{ID: first, Name: "n1", Address: "127.0.0.1:8300", Incarnation: 1, Version: "test", Commands: state.NewestCommand}
	f.Do(t, state.PutMember{Member: member})
	f.Do(t, state.PutJoinToken{Token: state.JoinToken{ID: token, Name: "n2", ExpiresAt: time.Now().Add(time.Hour)}})
	member.ID, member.Name, member.Address = second, "n2", "127.0.0.1:9300"
	f.Do(t, state.AdmitMember{Token: token, Member: member})
}

// turn makes the waiting authority the one that signs.
func (f *furnished) turn(t testing.TB, use ca.Use) {
	t.Helper()
	in := registrar.ChangeAuthority{Use: use, ID: f.authority(t, use, ca.Prepared)}
	if _, err := f.Registrar.ActivateAuthority(t.Context(), memcluster.Admin, in, true); err != nil {
		t.Fatal(err)
	}
}

func (s *served) authority(t testing.TB, use ca.Use, status ca.Status) string {
	t.Helper()
	for _, a := range s.View().Authorities(use) {
		if a.Status == status {
			return a.ID
		}
	}
	t.Fatalf("no %s authority is %s", use, status)
	return ""
}

// domainNamed founds another domain, and returns its bundle document.
func domainNamed(t testing.TB, name string) []byte {
	t.Helper()
	return memcluster.New(t, name, memcluster.Options{}).View().Own().Document
}

func relationshipWith(name string, document []byte) client.NewRelationship {
	return client.NewRelationship{Bundle: document, Relationship: client.Relationship{
		TrustDomain: name, URL: "https://" + name, Profile: "https_spiffe", EndpointID: "spiffe://" + name + "/spire/server",
	}}
}

// csr returns a request to sign an SVID with id, in PEM.
func csr(t testing.TB, id string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.CertificateRequest{URIs: []*url.URL{spiffeid.RequireFromString(id).URL()}}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

var (
	admins   = []broker.Role{broker.RoleAdmin}
	turners  = []broker.Role{broker.RoleAdmin, broker.RoleNode}
	readers  = []broker.Role{broker.RoleAdmin, broker.RoleNode, broker.RoleReader}
	everyone []broker.Role // also who has no role
)

// verb is one request to a furnished cluster that succeeds for those who may
// make it.
type verb struct {
	roles  []broker.Role
	status int
	path   func(f *furnished) string
	body   func(t testing.TB, f *furnished) any
}

// verbs has one for every route.
var verbs = map[string]verb{
	"GET /v1/openapi.yaml": {everyone, 200, at("/v1/openapi.yaml"), nil},
	"GET /v1/status":       {readers, 200, at("/v1/status"), nil},
	"GET /v1/settings":     {readers, 200, at("/v1/settings"), nil},
	"PUT /v1/settings": {turners, 200, at("/v1/settings"), func(t testing.TB, f *furnished) any {
		s := get[client.Settings](t, f.served, "/v1/settings")
		s.RefreshHint = client.Duration(30 * time.Second)
		return s
	}},
	"GET /v1/log-level":    {readers, 200, at("/v1/log-level"), nil},
	"PUT /v1/log-level":    {admins, 200, at("/v1/log-level"), value(client.LogLevel{Level: "debug"})},
	"DELETE /v1/log-level": {admins, 200, at("/v1/log-level"), nil},
	"GET /v1/audit":        {readers, 200, at("/v1/audit"), nil},
	"GET /v1/audit/verify": {readers, 200, at("/v1/audit/verify"), nil},
	"POST /v1/svids/x509": {admins, 200, at("/v1/svids/x509"), func(t testing.TB, _ *furnished) any {
		return client.MintX509{CSR: csr(t, "spiffe://acme.example/legacy")}
	}},
	"POST /v1/svids/jwt": {admins, 200, at("/v1/svids/jwt"), value(client.MintJWT{SPIFFEID: "spiffe://acme.example/legacy", Audience: []string{"db"}})},

	"GET /v1/entries":          {readers, 200, at("/v1/entries"), nil},
	"POST /v1/entries":         {admins, 201, at("/v1/entries"), value(client.Entry{SPIFFEID: "spiffe://acme.example/db", Selectors: []string{"unix:uid:2"}})},
	"GET /v1/entries/{id}":     {readers, 200, at(client.Path("entries", entryID)), nil},
	"PATCH /v1/entries/{id}":   {admins, 200, at(client.Path("entries", entryID)), value(json.RawMessage(`{"hint":"internal"}`))},
	"DELETE /v1/entries/{id}":  {admins, 200, at(client.Path("entries", entryID)), nil},
	"GET /v1/agents":           {readers, 200, at("/v1/agents"), nil},
	"GET /v1/agents/{id}":      {readers, 200, at(client.Path("agents", "spiffe://"+acme+agentPath)), nil},
	"DELETE /v1/agents/{id}":   {admins, 200, at(client.Path("agents", "spiffe://"+acme+agentPath)), nil},
	"POST /v1/agents/{id}/ban": {admins, 200, at(client.Path("agents", "spiffe://"+acme+agentPath, "ban")), nil},

	"GET /v1/bundles":                   {readers, 200, at("/v1/bundles"), nil},
	"GET /v1/bundles/{trust_domain}":    {readers, 200, at("/v1/bundles/" + partner), nil},
	"PUT /v1/bundles/{trust_domain}":    {admins, 200, at("/v1/bundles/" + bank), bankBundle},
	"DELETE /v1/bundles/{trust_domain}": {admins, 200, at("/v1/bundles/" + partner), nil},
	"GET /v1/federation":                {readers, 200, at("/v1/federation"), nil},
	"POST /v1/federation": {admins, 201, at("/v1/federation"), func(_ testing.TB, f *furnished) any {
		return relationshipWith(bank, f.document)
	}},
	"GET /v1/federation/{trust_domain}": {readers, 200, at("/v1/federation/" + partner), nil},
	"PUT /v1/federation/{trust_domain}": {admins, 200, at("/v1/federation/" + partner), func(testing.TB, *furnished) any {
		in := relationshipWith(partner, nil)
		in.URL += ":9443"
		return in
	}},
	"DELETE /v1/federation/{trust_domain}":       {admins, 200, at("/v1/federation/" + partner), nil},
	"POST /v1/federation/{trust_domain}/refresh": {admins, 200, at("/v1/federation/" + partner + "/refresh"), nil},

	"GET /v1/cluster":                     {readers, 200, at("/v1/cluster"), nil},
	"GET /v1/cluster/backup":              {admins, 200, at("/v1/cluster/backup"), nil},
	"POST /v1/cluster/tokens":             {admins, 200, at("/v1/cluster/tokens"), value(client.NewJoinToken{Name: "n4"})},
	"DELETE /v1/cluster/members/{member}": {admins, 200, at("/v1/cluster/members/n2"), nil},
	"POST /v1/cluster/rekey":              {admins, 200, at("/v1/cluster/rekey?dry_run=true"), nil},
	"POST /v1/cluster/transfer":           {admins, 200, at("/v1/cluster/transfer?to=n2"), nil},

	"GET /v1/authorities":                {readers, 200, at("/v1/authorities"), nil},
	"POST /v1/authorities/{use}/prepare": {turners, 200, at("/v1/authorities/jwt/prepare"), nil},
	"POST /v1/authorities/{use}/{id}/activate": {turners, 200, func(f *furnished) string {
		return client.Path("authorities", "x509", f.prepared, "activate") + "?force=true"
	}, nil},
	"POST /v1/authorities/{use}/{id}/taint": {turners, 200, func(f *furnished) string {
		return client.Path("authorities", "x509", f.old, "taint")
	}, nil},
	"POST /v1/authorities/{use}/{id}/revoke": {admins, 200, func(f *furnished) string {
		return client.Path("authorities", "x509", f.active, "revoke")
	}, nil},
}

func at(path string) func(*furnished) string { return func(*furnished) string { return path } }

func value(v any) func(testing.TB, *furnished) any {
	return func(testing.TB, *furnished) any { return v }
}

func bankBundle(_ testing.TB, f *furnished) any { return f.document }

// do makes the request that name stands for.
func (f *furnished) do(t testing.TB, name string, change ...func(*http.Request)) answer {
	t.Helper()
	v := verbs[name]
	method, _, _ := strings.Cut(name, " ")
	var body any
	if v.body != nil {
		body = v.body(t, f)
	}
	return f.ask(t, method, v.path(f), body, change...)
}

// writes are the verbs that change the state of the cluster.
func writes() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name := range verbs {
			kept := !strings.HasPrefix(name, "GET ") && !strings.Contains(name, "/svids/") && !strings.Contains(name, "/log-level") && !strings.HasSuffix(name, "/refresh") && !strings.HasSuffix(name, "/transfer") && !strings.HasSuffix(name, "/rekey")
			if kept && !yield(name) {
				return
			}
		}
	})
}

func TestEveryRouteHasAVerb(t *testing.T) {
	routes := walked(t, serve(t, memcluster.Options{}))
	if named := slices.Sorted(maps.Keys(verbs)); !slices.Equal(named, routes) {
		t.Errorf("verbs:\n%s\nroutes:\n%s", strings.Join(named, "\n"), strings.Join(routes, "\n"))
	}
}

// TestEachRoleByEachRoute shows that nothing is done, and nothing is told, for
// a caller without the right (RELIABILITY §1 row 21).
func TestEachRoleByEachRoute(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	digest, level := f.View().Digest(), f.Level.Level()
	for name, v := range verbs {
		t.Run(name, func(t *testing.T) {
			wantError(t, f.do(t, name, as("stranger")), http.StatusUnauthorized, "unauthenticated", "admin socket")
			for who, caller := range callers {
				allowed := v.roles == nil || slices.ContainsFunc(v.roles, caller.Has)
				switch {
				case !allowed:
					wantError(t, f.do(t, name, as(who)), http.StatusForbidden, "permission_denied", caller.Name)
				case strings.HasPrefix(name, "GET "):
					read[json.RawMessage](t, jsonOf(f.do(t, name, as(who))), v.status)
				}
			}
			if f.View().Digest() != digest || f.Level.Level() != level {
				t.Fatal("somebody without the right changed something")
			}
		})
	}
	for _, name := range slices.Sorted(maps.Keys(verbs)) {
		for _, role := range verbs[name].roles {
			if strings.HasPrefix(name, "GET ") {
				continue
			}
			t.Run(name+" by "+string(role), func(t *testing.T) {
				read[json.RawMessage](t, furnish(t).do(t, name, as(string(role))), verbs[name].status)
			})
		}
	}
}

// jsonOf lets the description, and a backup, pass for a document.
func jsonOf(a answer) answer {
	if kind := a.header.Get("Content-Type"); kind == "application/yaml" || kind == client.BackupType {
		a.body = []byte("{}")
	}
	return a
}

func TestOurOwnBundleIsPublic(t *testing.T) {
	f := furnish(t)
	own := read[client.Bundle](t, f.ask(t, http.MethodGet, "/v1/bundles/"+acme, nil, as("nobody")), http.StatusOK)
	if !bytes.Equal(own.Document, f.View().Own().Document) || own.Origin != "own" {
		t.Errorf("own bundle: %s, from %s", own.Document, own.Origin)
	}
}

// TestARetryIsHarmless sends each write twice with one request ID: the answer
// of the first may have been lost.
func TestARetryIsHarmless(t *testing.T) {
	t.Parallel()
	for _, name := range writes() {
		if name == "POST /v1/cluster/tokens" {
			continue // TestAJoinTokenIsShownOnce
		}
		t.Run(name, func(t *testing.T) {
			f := furnish(t)
			var sent any
			if v := verbs[name]; v.body != nil {
				sent = v.body(t, f)
			}
			path, method := verbs[name].path(f), strings.Fields(name)[0]
			first := f.ask(t, method, path, sent, called("retry-1"))
			digest, records := f.View().Digest(), len(f.Records())
			second := f.ask(t, method, path, sent, called("retry-1"))
			if first.status != verbs[name].status || second.status != first.status {
				t.Errorf("answered %d %s, then %d %s", first.status, first.body, second.status, second.body)
			}
			if first.header.Get(client.RequestIDHeader) != "retry-1" {
				t.Errorf("the answer is to %q", first.header.Get(client.RequestIDHeader))
			}
			if got := len(f.Records()); got != records {
				t.Errorf("the retry made %d records of its own", got-records)
			}
			if !strings.HasSuffix(name, "/revoke") { // whose retry finds less left to do
				sameOutcome(t, first.body, second.body)
			}
			if f.View().Digest() != digest {
				t.Error("the retry changed something")
			}
		})
	}
}

func TestAJoinTokenIsShownOnce(t *testing.T) {
	f := furnish(t)
	ask := func() answer {
		return f.ask(t, http.MethodPost, "/v1/cluster/tokens", client.NewJoinToken{Name: "n4"}, called("retry-1"))
	}
	made := read[client.Outcome[client.JoinToken]](t, ask(), http.StatusOK)
	if _, known := f.View().JoinToken(made.After.ID); !known || made.After.Token == "" {
		t.Errorf("made %+v", made.After)
	}
	if again := ask(); again.status != http.StatusConflict || bytes.Contains(again.body, []byte(made.After.Token)) || !bytes.Contains(again.body, []byte("shown once")) {
		t.Errorf("the retry is answered %d %s", again.status, again.body)
	}
	for record := range slices.Values(f.Records()) {
		if strings.Contains(string(record.Statement()), made.After.Token) {
			t.Errorf("the audit trail has the token: %s", record.Statement())
		}
	}
}

// sameOutcome wants two answers to agree on what is and where it was decided.
func sameOutcome(t testing.TB, first, second []byte) {
	t.Helper()
	var a, b client.Outcome[json.RawMessage]
	if err := json.Unmarshal(first, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(second, &b); err != nil {
		t.Fatal(err)
	}
	if a.Index != b.Index || (a.After == nil) != (b.After == nil) || a.After != nil && !bytes.Equal(*a.After, *b.After) {
		t.Errorf("answered %s, then %s", first, second)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	for _, name := range append(writes(), "PUT /v1/log-level", "DELETE /v1/log-level") {
		t.Run(name, func(t *testing.T) {
			digest, index, level := f.View().Digest(), f.View().Index(), f.Level.Level()
			a := f.do(t, name, func(r *http.Request) {
				q := r.URL.Query()
				q.Set("dry_run", "true")
				r.URL.RawQuery = q.Encode()
			})
			if a.status != http.StatusOK || !bytes.Contains(a.body, []byte(`"dry_run":true`)) {
				t.Errorf("answered %d %s", a.status, a.body)
			}
			if a.header.Get("Location") != "" {
				t.Errorf("nothing was made, but it is at %s", a.header.Get("Location"))
			}
			if f.View().Digest() != digest || f.View().Index() != index || f.Level.Level() != level {
				t.Error("something was changed")
			}
		})
	}
}

// TestNoAnswerHoldsASealedKey looks for what is kept of keys in everything
// that is ever told of authorities (DESIGN, invariant 7). A backup is the one
// answer that is made to hold them.
func TestNoAnswerHoldsASealedKey(t *testing.T) {
	t.Parallel()
	for name := range verbs {
		if name == "GET /v1/cluster/backup" {
			continue
		}
		f := furnish(t)
		told := f.do(t, name).body
		for _, use := range []ca.Use{ca.X509, ca.JWT} {
			for _, a := range f.View().Authorities(use) {
				text, err := json.Marshal(a.Sealed)
				if err != nil {
					t.Fatal(err)
				}
				if len(a.Sealed) == 0 || bytes.Contains(told, a.Sealed) || bytes.Contains(told, bytes.Trim(text, `"`)) {
					t.Errorf("%s tells of a sealed key: %s", name, told)
				}
			}
		}
	}
}
