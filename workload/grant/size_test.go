package grant_test

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/grant"
)

// fat is a bundle whose X.509 authorities have about size bytes.
func fat(t *testing.T, name string, size int) *federation.Published {
	t.Helper()
	td := spiffeid.RequireTrustDomainFromString(name)
	raw := make([]byte, size)
	copy(raw, name)
	p := &federation.Published{
		Bundle:  &federation.Bundle{TrustDomain: td, X509: []*x509.Certificate{{Raw: raw}}, JWT: []federation.JWTAuthority{{ID: "k"}}},
		X509DER: raw,
		JWKS:    []byte(`{"keys":["` + strings.Repeat("x", size) + `"]}`),
	}
	return p
}

func TestForeignBundlesNeverCostTheOwnSVIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		var names []string
		for i := range 20 {
			name := fmt.Sprintf("large%02d.example", i)
			names = append(names, name)
			h.SetBundle(fat(t, name, 250<<10))
		}
		names = append(names, "small.example", "toolarge.example")
		h.SetBundle(fat(t, "small.example", 2<<10))
		h.SetBundle(fat(t, "toolarge.example", 6<<20))
		h.Put(workload.Entry{SPIFFEID: h.ID("/a"), FederatesWith: domains(names...)})

		m := h.open(t, grant.X509SVIDs, memdomain.Selectors("/a")).next()
		r := svids(t, m)
		if len(r.Svids) != 1 || m.Size() > grant.MaxMessageBytes {
			t.Errorf("%d SVIDs in %d bytes", len(r.Svids), m.Size())
		}
		if n := len(r.FederatedBundles); n != 15 { // 14 × 250 KiB and the small one
			t.Errorf("%d bundles fit", n)
		}
		if _, ok := r.FederatedBundles["spiffe://small.example"]; !ok {
			t.Error("a small bundle was left out for a large one")
		}
		if _, ok := r.FederatedBundles["spiffe://toolarge.example"]; ok {
			t.Error("a bundle beyond a peer's share is there")
		}
		m = h.open(t, grant.JWTBundles, memdomain.Selectors("/a")).next()
		var jwt pb.JWTBundlesResponse
		decode(t, m, &jwt)
		if _, ok := jwt.Bundles["spiffe://acme.example"]; !ok || m.Size() > grant.MaxMessageBytes {
			t.Errorf("own bundle there: %v; %d bytes", ok, m.Size())
		}
	})
}

func TestMoreIdentitiesThanFitAreServedFromTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		for i := range 700 {
			path := fmt.Sprintf("/%04d/", i) + strings.Repeat("a", 1900)
			h.Put(workload.Entry{ID: fmt.Sprint(i), SPIFFEID: h.ID(path), Selectors: memdomain.Selectors("x")})
		}
		m := h.open(t, grant.X509SVIDs, memdomain.Selectors("x")).next()
		if r := svids(t, m); len(r.Svids) < 500 || len(r.Svids) == 700 || m.Size() > grant.MaxMessageBytes {
			t.Errorf("%d identities in %d bytes", len(r.Svids), m.Size())
		}
	})
}
