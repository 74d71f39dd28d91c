package world

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/concord-id/concord/broker/admin/client"
)

// Admin is an operator at the admin socket of a node, who speaks REST. Every
// method fails the test if the node refuses, except Try.
type Admin struct {
	t      testing.TB
	client *client.Client
}

// OperatorAt returns the operator of the node whose admin socket is at path.
func OperatorAt(t testing.TB, path string) *Admin { return &Admin{t, client.New(path, "a test")} }

// Admin returns the node's operator.
func (n *Node) Admin() *Admin { return OperatorAt(n.t, n.Path("admin.sock")) }

// Try makes one request.
func (a *Admin) Try(method, path string, query url.Values, in, out any) error {
	return a.client.Do(Soon(a.t), method, path, query, in, out)
}

func (a *Admin) do(method, path string, query url.Values, in, out any) {
	a.t.Helper()
	if err := a.Try(method, path, query, in, out); err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// Register makes an entry, for the test's own process unless selectors are
// given: unix:uid:<uid>.
func (a *Admin) Register(e client.Entry) client.Entry {
	a.t.Helper()
	if len(e.Selectors) == 0 {
		e.Selectors = []string{fmt.Sprint("unix:uid:", os.Getuid())}
	}
	var made client.Outcome[client.Entry]
	a.do(http.MethodPost, client.Path("entries"), nil, e, &made)
	return *made.After
}

// Unregister deletes an entry.
func (a *Admin) Unregister(id string) {
	a.t.Helper()
	a.do(http.MethodDelete, client.Path("entries", id), nil, nil, nil)
}

// Entries are all entries, page by page, by their SPIFFE IDs.
func (a *Admin) Entries() map[string]client.Entry {
	a.t.Helper()
	all := map[string]client.Entry{}
	for query := (url.Values{}); ; {
		var page client.Entries
		a.do(http.MethodGet, client.Path("entries"), query, nil, &page)
		for _, e := range page.Entries {
			all[e.SPIFFEID] = e
		}
		if page.Next == "" {
			return all
		}
		query.Set("page_token", page.Next)
	}
}

// Bundle is what the node holds of td.
func (a *Admin) Bundle(td spiffeid.TrustDomain) client.Bundle {
	a.t.Helper()
	var b client.Bundle
	a.do(http.MethodGet, client.Path("bundles", td.Name()), nil, nil, &b)
	return b
}

// SetBundle gives the node a bundle by hand.
func (a *Admin) SetBundle(td spiffeid.TrustDomain, document []byte) {
	a.t.Helper()
	a.do(http.MethodPut, client.Path("bundles", td.Name()), nil, json.RawMessage(document), nil)
}

// Relate makes a relationship.
func (a *Admin) Relate(r client.NewRelationship) {
	a.t.Helper()
	a.do(http.MethodPost, client.Path("federation"), nil, r, nil)
}

// Part ends the relationship with td.
func (a *Admin) Part(td spiffeid.TrustDomain) {
	a.t.Helper()
	a.do(http.MethodDelete, client.Path("federation", td.Name()), nil, nil, nil)
}

// Relationship is the one with td and how it fares.
func (a *Admin) Relationship(td spiffeid.TrustDomain) client.Relationship {
	a.t.Helper()
	var r client.Relationship
	a.do(http.MethodGet, client.Path("federation", td.Name()), nil, nil, &r)
	return r
}

// Refresh polls td now and returns how that went.
func (a *Admin) Refresh(td spiffeid.TrustDomain) client.Relationship {
	a.t.Helper()
	var r client.Relationship
	a.do(http.MethodPost, client.Path("federation", td.Name(), "refresh"), nil, nil, &r)
	return r
}

// Authority returns the authority of a use ("x509", "jwt") with a status
// ("prepared", "active", "old"). There is exactly one, or the test fails.
func (a *Admin) Authority(use, status string) client.Authority {
	a.t.Helper()
	var found []client.Authority
	for _, one := range a.Authorities() {
		if one.Use == use && one.Status == status {
			found = append(found, one)
		}
	}
	if len(found) != 1 {
		a.t.Fatalf("%d %s authorities are %s, want one: %+v", len(found), use, status, a.Authorities())
	}
	return found[0]
}

// Authorities are all of the domain's.
func (a *Admin) Authorities() []client.Authority {
	a.t.Helper()
	var all client.Authorities
	a.do(http.MethodGet, client.Path("authorities"), nil, nil, &all)
	return all.Authorities
}

// Turn makes the prepared authority of a use sign from now on, and returns it.
// It does not wait for the publication window.
func (a *Admin) Turn(use string) client.Authority {
	a.t.Helper()
	next := a.Authority(use, "prepared")
	var turned client.Outcome[client.Authority]
	a.do(http.MethodPost, client.Path("authorities", use, next.ID, "activate"), url.Values{"force": {"true"}}, nil, &turned)
	return *turned.After
}

// Revoke takes an authority out of the bundle now.
func (a *Admin) Revoke(use, id string) {
	a.t.Helper()
	a.do(http.MethodPost, client.Path("authorities", use, id, "revoke"), nil, nil, nil)
}

// Status is the node's own account of itself.
func (a *Admin) Status() client.Status {
	a.t.Helper()
	var s client.Status
	a.do(http.MethodGet, client.Path("status"), nil, nil, &s)
	return s
}

// Refused fails the test unless err is the node's refusal with this code, and
// returns its words.
func Refused(t testing.TB, err error, code string) string {
	t.Helper()
	var refused *client.Refused
	if !errors.As(err, &refused) || refused.Code != code {
		t.Fatalf("got %v (%T), want a refusal with code %s", err, err, code)
	}
	return refused.Detail
}

// Dial connects to a socket of the node for gRPC.
func (n *Node) Dial(socket string) *grpc.ClientConn {
	n.t.Helper()
	conn, err := grpc.NewClient("unix://"+n.Path(socket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	return conn
}
