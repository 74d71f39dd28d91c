package grant_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/grant"
)

func domains(names ...string) []spiffeid.TrustDomain {
	var out []spiffeid.TrustDomain
	for _, n := range names {
		out = append(out, spiffeid.RequireTrustDomainFromString(n))
	}
	return out
}

func TestWA_8_WA_9_WA_10_WA_11_AnAnswerIsWhatAWorkloadCanUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		bank := memdomain.New(t, "bank.example")
		h.SetBundle(bank.Bundle())
		h.Put(workload.Entry{SPIFFEID: h.ID("/billing"), Hint: "internal", FederatesWith: domains("bank.example"), DNSNames: []string{"billing.acme.example"}})
		r := svids(t, h.open(t, grant.X509SVIDs, memdomain.Selectors("/billing")).next())
		if len(r.Svids) != 1 || r.Svids[0].SpiffeId != "spiffe://acme.example/billing" || r.Svids[0].Hint != "internal" {
			t.Fatalf("%+v", r)
		}
		key, err := x509.ParsePKCS8PrivateKey(r.Svids[0].X509SvidKey)
		if err != nil {
			t.Fatal(err)
		}
		if pub := key.(*ecdsa.PrivateKey).Public(); !leaf(t, r.Svids[0]).PublicKey.(*ecdsa.PublicKey).Equal(pub) {
			t.Error("the key is not the certificate's")
		}
		own, err := x509bundle.ParseRaw(h.TrustDomain(), r.Svids[0].Bundle)
		if err != nil {
			t.Fatal(err)
		}
		certs, _ := x509.ParseCertificates(r.Svids[0].X509Svid)
		if id, _, err := x509svid.Verify(certs, own); err != nil || id != h.ID("/billing") {
			t.Errorf("%v %v", id, err)
		}
		if got := r.FederatedBundles["spiffe://bank.example"]; len(r.FederatedBundles) != 1 || !slices.Equal(got, bank.Bundle().X509DER) {
			t.Errorf("federated bundles: %d", len(r.FederatedBundles))
		}
	})
}

func TestOneKeyAndSVIDPerEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{SPIFFEID: h.ID("/a")})
		var first *grant.Message
		for i := range 50 {
			// Different processes, observed differently, of the same entry.
			m := h.open(t, grant.X509SVIDs, memdomain.Selectors("/a", fmt.Sprint("pid", i/2))).next()
			if first == nil {
				first = m
			}
			if m != first {
				t.Fatal("two streams of the same entries do not share their message")
			}
		}
		if s := h.grants.Stats(); s.Signed != 1 || s.Subjects != 1 || s.Identities != 1 || s.Streams != 50 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTheNextProcessOfAWorkloadGetsTheSameSVID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{SPIFFEID: h.ID("/a")})
		for range 3 {
			s := h.open(t, grant.X509SVIDs, memdomain.Selectors("/a"))
			s.next()
			s.cancel()
			time.Sleep(time.Minute)
		}
		if s := h.grants.Stats(); s.Signed != 1 || s.Streams != 0 || s.Subjects != 0 || s.Identities != 1 {
			t.Errorf("%+v", s)
		}
		time.Sleep(memdomain.X509TTL)
		synctest.Wait()
		if s := h.grants.Stats(); s.Signed != 1 || s.Identities != 0 {
			t.Errorf("nobody asked for an hour, and the key is still held: %+v", s)
		}
	})
}

func TestWA_3_EveryMessageIsTheFullState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{SPIFFEID: h.ID("/a"), FederatesWith: domains("bank.example", "corp.example")})
		h.SetBundle(memdomain.New(t, "bank.example").Bundle())
		s := h.open(t, grant.X509SVIDs, memdomain.Selectors("/a"))
		before := svids(t, s.next())
		h.SetBundle(memdomain.New(t, "corp.example").Bundle())
		after := svids(t, s.next())
		if got := federated(after); !slices.Equal(got, []string{"spiffe://bank.example", "spiffe://corp.example"}) {
			t.Errorf("%v", got)
		}
		if string(after.Svids[0].X509Svid) != string(before.Svids[0].X509Svid) || len(after.Svids[0].X509SvidKey) == 0 || len(after.Svids[0].Bundle) == 0 {
			t.Error("the second message is not whole, or a bundle's change made a new SVID")
		}
		h.DropBundle(domains("bank.example")[0])
		if got := federated(svids(t, s.next())); !slices.Equal(got, []string{"spiffe://corp.example"}) {
			t.Errorf("%v", got)
		}
		if n := h.grants.Stats().Signed; n != 1 {
			t.Errorf("%d SVIDs were signed because of bundles", n-1)
		}
	})
}

// What was committed is told of a moment later. A stream that begins in that
// moment gets it all the same.
func TestAStreamBeginsWithTheNewestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		same := memdomain.Selectors("x")
		h.SetBundle(memdomain.New(t, "bank.example").Bundle())
		h.Put(workload.Entry{SPIFFEID: h.ID("/a"), Selectors: same, FederatesWith: domains("bank.example", "corp.example")})
		h.open(t, grant.X509SVIDs, same).next()

		h.Follow(func(grant.Change) {}) // nobody is told from now on
		h.DropBundle(domains("bank.example")[0])
		h.SetBundle(memdomain.New(t, "corp.example").Bundle())
		if got := federated(svids(t, h.open(t, grant.X509SVIDs, same).next())); !slices.Equal(got, []string{"spiffe://corp.example"}) {
			t.Errorf("the bundles are of %v", got)
		}
		h.Put(workload.Entry{SPIFFEID: h.ID("/b"), Selectors: same})
		if got := svids(t, h.open(t, grant.X509SVIDs, same).next()); len(got.Svids) != 2 {
			t.Errorf("the SVIDs are %v", ids(got))
		}
	})
}

func TestFD_43_NobodyIsShownWhatOthersFederateWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		for path, peer := range map[string]string{"/a": "bank.example", "/b": "corp.example"} {
			h.SetBundle(memdomain.New(t, peer).Bundle())
			h.Put(workload.Entry{SPIFFEID: h.ID(path), FederatesWith: domains(peer)})
		}
		for range 2 { // who comes first, and who comes when all bundles are in use
			for path, peer := range map[string]string{"/a": "spiffe://bank.example", "/b": "spiffe://corp.example"} {
				var x509Bundles pb.X509BundlesResponse
				var jwtBundles pb.JWTBundlesResponse
				decode(t, h.open(t, grant.X509Bundles, memdomain.Selectors(path)).next(), &x509Bundles)
				decode(t, h.open(t, grant.JWTBundles, memdomain.Selectors(path)).next(), &jwtBundles)
				got := federated(svids(t, h.open(t, grant.X509SVIDs, memdomain.Selectors(path)).next()))
				want := []string{"spiffe://acme.example", peer}
				if !slices.Equal(got, want[1:]) || !slices.Equal(slices.Sorted(maps.Keys(x509Bundles.Bundles)), want) || !slices.Equal(slices.Sorted(maps.Keys(jwtBundles.Bundles)), want) {
					t.Errorf("%s is shown %v, %v, %v", path, got, slices.Sorted(maps.Keys(x509Bundles.Bundles)), slices.Sorted(maps.Keys(jwtBundles.Bundles)))
				}
			}
		}
	})
}

func TestWA_4_NoMessageWithoutAChangeForTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{SPIFFEID: h.ID("/a"), FederatesWith: domains("bank.example")})
		bank := memdomain.New(t, "bank.example")
		h.SetBundle(bank.Bundle())
		x509SVIDs := h.open(t, grant.X509SVIDs, memdomain.Selectors("/a"))
		x509Bundles := h.open(t, grant.X509Bundles, memdomain.Selectors("/a"))
		jwtBundles := h.open(t, grant.JWTBundles, memdomain.Selectors("/a"))
		for _, s := range []*stream{x509SVIDs, x509Bundles, jwtBundles} {
			s.next()
		}
		silent := func(streams ...*stream) {
			t.Helper()
			for _, s := range streams {
				s.silent()
			}
		}

		h.SetBundle(memdomain.New(t, "other.example").Bundle())
		h.Put(workload.Entry{SPIFFEID: h.ID("/b")})
		h.Put(workload.Entry{SPIFFEID: h.ID("/a"), FederatesWith: domains("bank.example"), Admin: true, Revision: 1})
		h.grants.Changed(grant.Change{Everything: true})
		silent(x509SVIDs, x509Bundles, jwtBundles)

		h.AddJWTKey()
		jwtBundles.next()
		silent(x509SVIDs, x509Bundles)

		bank.AddJWTKey()
		h.SetBundle(bank.Bundle())
		jwtBundles.next()
		silent(x509SVIDs, x509Bundles)

		h.PrepareRoot()
		x509SVIDs.next()
		x509Bundles.next()
		silent(jwtBundles)

		time.Sleep(20 * time.Minute)
		silent(x509SVIDs, x509Bundles, jwtBundles)
	})
}

func TestWA_12_WA_13_OneSVIDPerIdentityAndEachHintOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		same := memdomain.Selectors("x")
		put := func(id, path, hint string, federates ...string) {
			h.Put(workload.Entry{ID: id, SPIFFEID: h.ID(path), Selectors: same, Hint: hint, FederatesWith: domains(federates...)})
			time.Sleep(time.Second)
		}
		put("z", "/one", "internal")
		put("y", "/two", "internal", "bank.example")
		put("x", "/one", "external", "corp.example")
		put("w", "/three", "external")
		h.SetBundle(memdomain.New(t, "bank.example").Bundle())
		h.SetBundle(memdomain.New(t, "corp.example").Bundle())
		r := svids(t, h.open(t, grant.X509SVIDs, same).next())
		want := []string{"spiffe://acme.example/one", "spiffe://acme.example/two", "spiffe://acme.example/three"}
		if got := ids(r); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if hints := []string{r.Svids[0].Hint, r.Svids[1].Hint, r.Svids[2].Hint}; !slices.Equal(hints, []string{"internal", "", "external"}) {
			t.Errorf("hints %q", hints)
		}
		if got := federated(r); len(got) != 2 {
			t.Errorf("an identity's second entry federates with a domain that is missing: %v", got)
		}
	})
}

func TestWA_31_TheDefaultIdentityStaysFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		same := memdomain.Selectors("x")
		h.Put(workload.Entry{ID: "m", SPIFFEID: h.ID("/first"), Selectors: same})
		s := h.open(t, grant.X509SVIDs, same)
		s.next()
		for _, id := range []string{"a", "z", "b"} {
			time.Sleep(time.Second)
			h.Put(workload.Entry{ID: id, SPIFFEID: h.ID("/" + id), Selectors: same})
			if got := ids(svids(t, s.next())); got[0] != "spiffe://acme.example/first" {
				t.Errorf("default identity: %v", got)
			}
		}
	})
}

func TestWA_14_WA_16_NoEntryNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{SPIFFEID: h.ID("/a")})
		for _, kind := range []grant.Kind{grant.X509SVIDs, grant.X509Bundles, grant.JWTBundles} {
			h.open(t, kind, memdomain.Selectors("b")).ended(grant.ErrNoIdentity)
			s := h.open(t, kind, memdomain.Selectors("/a"))
			s.next()
			h.Delete("entrya")
			s.ended(grant.ErrNoIdentity)
			h.open(t, kind, memdomain.Selectors("/a")).ended(grant.ErrNoIdentity)
			h.Put(workload.Entry{SPIFFEID: h.ID("/a")})
			h.open(t, kind, memdomain.Selectors("/a")).next()
		}
		h.Delete("entrya")
		synctest.Wait()
		if s := h.grants.Stats(); s.Identities != 0 || s.Subjects != 0 || s.Streams != 0 {
			t.Errorf("something is held of an entry that is gone: %+v", s)
		}
	})
}

func TestAnEntryThatEndsEndsItsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		start := time.Now()
		h.Put(workload.Entry{SPIFFEID: h.ID("/a"), ExpiresAt: start.Add(10 * time.Minute)})
		h.Put(workload.Entry{SPIFFEID: h.ID("/b"), Selectors: memdomain.Selectors("/a"), ExpiresAt: start.Add(2 * time.Hour)})
		s := h.open(t, grant.X509SVIDs, memdomain.Selectors("/a"))
		r := svids(t, s.next())
		if end := leaf(t, r.Svids[0]).NotAfter; end.After(start.Add(10 * time.Minute)) {
			t.Errorf("the SVID ends at %s, after its entry", end)
		}
		var last *pb.X509SVIDResponse
		for time.Since(start) < 11*time.Minute {
			time.Sleep(time.Minute)
			synctest.Wait()
			for len(s.messages) > 0 {
				last = svids(t, <-s.messages)
			}
		}
		if got := ids(last); !slices.Equal(got, []string{"spiffe://acme.example/b"}) {
			t.Errorf("after the end of /a: %v", got)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for len(s.messages) > 0 {
			<-s.messages
		}
		s.ended(grant.ErrNoIdentity)
	})
}

func TestOnlyADifferentSVIDIsSignedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{ID: "e", SPIFFEID: h.ID("/a"), Selectors: memdomain.Selectors("x")})
		s := h.open(t, grant.X509SVIDs, memdomain.Selectors("x"))
		s.next()
		change := func(e workload.Entry, signed uint64) {
			t.Helper()
			e.ID, e.Selectors = "e", memdomain.Selectors("x")
			h.Put(e)
			r := svids(t, s.next())
			if got := h.grants.Stats().Signed; got != signed || r.Svids[0].SpiffeId != e.SPIFFEID.String() || r.Svids[0].Hint != e.Hint {
				t.Errorf("signed %d, want %d; %s %q", got, signed, r.Svids[0].SpiffeId, r.Svids[0].Hint)
			}
		}
		change(workload.Entry{SPIFFEID: h.ID("/a"), Hint: "new"}, 1)
		change(workload.Entry{SPIFFEID: h.ID("/b"), Hint: "new"}, 2)
		change(workload.Entry{SPIFFEID: h.ID("/b"), DNSNames: []string{"b.example"}}, 3)
		change(workload.Entry{SPIFFEID: h.ID("/b"), DNSNames: []string{"b.example"}, X509TTL: time.Minute}, 4)
	})
}

func TestTB_12_ADomainWithoutAuthoritiesIsNotInTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{SPIFFEID: h.ID("/a"), FederatesWith: domains("bank.example")})
		h.SetBundle(memdomain.New(t, "bank.example").Bundle())
		x509SVIDs := h.open(t, grant.X509SVIDs, memdomain.Selectors("/a"))
		jwtBundles := h.open(t, grant.JWTBundles, memdomain.Selectors("/a"))
		x509SVIDs.next()
		jwtBundles.next()
		empty, err := federation.Publish(&federation.Bundle{TrustDomain: domains("bank.example")[0], Sequence: 9, Sequenced: true})
		if err != nil {
			t.Fatal(err)
		}
		h.SetBundle(empty)
		if got := federated(svids(t, x509SVIDs.next())); len(got) != 0 {
			t.Errorf("%v", got)
		}
		var r pb.JWTBundlesResponse
		decode(t, jwtBundles.next(), &r)
		if len(r.Bundles) != 1 {
			t.Errorf("%v", r.Bundles)
		}
	})
}
