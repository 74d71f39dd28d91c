package registrar_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/memcluster"
)

// bundleOf is the bundle that another cluster publishes.
func bundleOf(c *memcluster.Cluster) *federation.Bundle { return c.View().Own().Bundle }

func peers(t testing.TB) (acmes, banks *memcluster.Cluster) {
	return memcluster.New(t, acme, memcluster.Options{}), memcluster.New(t, "bank.example", memcluster.Options{})
}

func setBundle(t testing.TB, c *memcluster.Cluster, in registrar.SetBundle) registrar.Outcome[federation.Published] {
	t.Helper()
	out, err := c.Registrar.SetBundle(t.Context(), memcluster.Admin, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestABundleIsSetReadAndDeleted(t *testing.T) {
	c, bank := peers(t)
	ctx, r, td := t.Context(), c.Registrar, bank.TrustDomain()
	_, err := r.Bundle(ctx, memcluster.Reader, td)
	wantCode(t, err, broker.NotFound)
	out := setBundle(t, c, registrar.SetBundle{Bundle: bundleOf(bank)})
	if out.Before != nil || out.After.Origin != "operator" || out.After.Bundle.Sequence != bundleOf(bank).Sequence {
		t.Errorf("set: %+v", out)
	}
	held, err := r.Bundle(ctx, memcluster.Reader, td)
	if err != nil || !held.Bundle.Equal(bundleOf(bank)) {
		t.Errorf("read %v, %v", held, err)
	}
	if n, err := r.CountBundles(ctx, memcluster.Reader); n != 2 || err != nil {
		t.Errorf("counted %d bundles, want our own and one more (%v)", n, err)
	}
	list, err := r.Bundles(ctx, memcluster.Reader, registrar.Page{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Bundle.TrustDomain != td {
		t.Errorf("listed %v, %v; our own is not among others'", list, err)
	}
	gone, err := r.DeleteBundle(ctx, memcluster.Admin, registrar.DeleteBundle{TrustDomain: td})
	if err != nil || gone.Before == nil || c.View().Foreign(td) != nil {
		t.Errorf("deleted: %+v, %v", gone, err)
	}
	_, err = r.DeleteBundle(ctx, memcluster.Admin, registrar.DeleteBundle{TrustDomain: td})
	wantCode(t, err, broker.NotFound)
}

func TestSetBundleExpectsWhatItSays(t *testing.T) {
	c, bank := peers(t)
	_, err := c.Registrar.SetBundle(t.Context(), memcluster.Admin, registrar.SetBundle{Bundle: bundleOf(bank), Expect: registrar.MustAlready})
	wantCode(t, err, broker.NotFound)
	setBundle(t, c, registrar.SetBundle{Bundle: bundleOf(bank), Expect: registrar.MustNot})
	_, err = c.Registrar.SetBundle(t.Context(), memcluster.Admin, registrar.SetBundle{Bundle: bundleOf(bank), Expect: registrar.MustNot})
	wantCode(t, err, broker.AlreadyExists)
	setBundle(t, c, registrar.SetBundle{Bundle: bundleOf(bank), Expect: registrar.MustAlready})
	setBundle(t, c, registrar.SetBundle{Bundle: bundleOf(bank)})
}

func TestSetBundleChangesTheNamedFieldsOnly(t *testing.T) {
	c, bank := peers(t)
	setBundle(t, c, registrar.SetBundle{Bundle: bundleOf(bank)})
	other := &federation.Bundle{TrustDomain: bank.TrustDomain(), Sequence: 3, Sequenced: true, Hint: time.Hour, Hinted: true}
	out := setBundle(t, c, registrar.SetBundle{Bundle: other, Fields: registrar.BundleHint})
	if b := out.After.Bundle; b.Hint != time.Hour || b.Sequence != bundleOf(bank).Sequence || len(b.X509) != 2 || len(b.JWT) != 2 {
		t.Errorf("after the hint alone: %+v", b)
	}
	out = setBundle(t, c, registrar.SetBundle{Bundle: other, Fields: registrar.BundleJWT | registrar.BundleSequence})
	if b := out.After.Bundle; b.Sequence != 3 || len(b.X509) != 2 || len(b.JWT) != 0 {
		t.Errorf("after JWT keys and sequence: %+v", b)
	}
	out = setBundle(t, c, registrar.SetBundle{Bundle: bundleOf(bank), Fields: registrar.BundleX509, DryRun: true})
	if c.View().Foreign(bank.TrustDomain()).Bundle.Equal(out.After.Bundle) != true {
		t.Error("the dry run of a change that changes nothing shows a change")
	}
}

func TestNobodyBringsABundleForOurDomain(t *testing.T) {
	c, bank := peers(t)
	own := *bundleOf(c)
	_, err := c.Registrar.SetBundle(t.Context(), memcluster.Admin, registrar.SetBundle{Bundle: &own})
	wantCode(t, err, broker.InvalidArgument)
	_, err = c.Registrar.DeleteBundle(t.Context(), memcluster.Admin, registrar.DeleteBundle{TrustDomain: c.TrustDomain()})
	wantCode(t, err, broker.InvalidArgument)
	stolen := *bundleOf(c) // our keys under another name
	stolen.TrustDomain = bank.TrustDomain()
	_, err = c.Registrar.SetBundle(t.Context(), memcluster.Admin, registrar.SetBundle{Bundle: &stolen})
	wantCode(t, err, broker.FailedPrecondition)
}

func TestEntriesThatFederateDecideHowABundleIsDeleted(t *testing.T) {
	for name, want := range map[registrar.DeleteMode]struct {
		code    broker.Code
		entries int
		names   int
	}{
		registrar.Restrict:   {broker.FailedPrecondition, 1, 1},
		registrar.Dissociate: {"", 1, 0},
		registrar.DeleteThem: {"", 0, 0},
		9:                    {broker.InvalidArgument, 1, 1},
	} {
		c, bank := peers(t)
		setBundle(t, c, registrar.SetBundle{Bundle: bundleOf(bank)})
		e := entry("/web", 1)
		e.FederatesWith = []spiffeid.TrustDomain{bank.TrustDomain()}
		create(t, c, e)
		_, err := c.Registrar.DeleteBundle(t.Context(), memcluster.Admin, registrar.DeleteBundle{TrustDomain: bank.TrustDomain(), Mode: name})
		wantCode(t, err, want.code)
		names := 0
		for e := range c.View().Entries() {
			names += len(e.FederatesWith)
		}
		if n := c.View().EntryCount(); n != want.entries || names != want.names {
			t.Errorf("mode %d leaves %d entries that federate %d times, want %d and %d", name, n, names, want.entries, want.names)
		}
	}
}

func TestOwnBundleComesWithItsAuthoritiesWithoutTheirKeys(t *testing.T) {
	c, _ := peers(t)
	own, authorities, err := c.Registrar.OwnBundleAndAuthorities(t.Context(), memcluster.Nobody)
	if err != nil || len(own.Bundle.X509) != 2 || len(authorities) != 4 {
		t.Fatalf("own bundle %v with %d authorities, %v", own, len(authorities), err)
	}
	for _, a := range authorities {
		if a.Sealed != nil {
			t.Errorf("authority %s shows its sealed key", a.ID)
		}
	}
}

func TestAppendBundlePublishesKeysThatTheClusterDoesNotHold(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	before := memcluster.New(t, acme, memcluster.Options{NoneWaiting: true}) // the same domain, run by others
	root, key := bundleOf(before).X509[0], bundleOf(before).JWT[0]
	in := registrar.AppendBundle{X509: []*x509.Certificate{root}, JWT: []registrar.ForeignJWTKey{{ID: "old-key", Key: key.Key}}, DryRun: true}
	digest := c.View().Digest()
	dry, err := c.Registrar.AppendBundle(t.Context(), memcluster.Admin, in)
	if err != nil || len(dry.Before.Bundle.X509) != 2 || len(dry.After.Bundle.X509) != 3 || len(dry.After.Bundle.JWT) != 3 || c.View().Digest() != digest {
		t.Fatalf("dry run: %+v, %v", dry, err)
	}
	in.DryRun = false
	for range 2 { // the second time changes nothing
		out, err := c.Registrar.AppendBundle(t.Context(), memcluster.Admin, in)
		if err != nil || !out.After.Bundle.Equal(bundleOf(c)) || len(out.After.Bundle.X509) != 3 || len(out.After.Bundle.JWT) != 3 {
			t.Fatalf("appended: %+v, %v", out, err)
		}
	}
	if a, ok := c.View().Authority(ca.JWT, "old-key"); !ok || a.Status != ca.Old || !a.VouchesUntil.After(time.Now().AddDate(100, 0, 0)) {
		t.Errorf("the key without an end is %+v", a)
	}
}

func TestAppendBundlePublishesAllOrNothing(t *testing.T) {
	c, bank := peers(t)
	setBundle(t, c, registrar.SetBundle{Bundle: bundleOf(bank)})
	other := memcluster.New(t, acme, memcluster.Options{})
	digest := c.View().Digest()
	for name, in := range map[string]registrar.AppendBundle{
		"a partner's root behind a good one": {X509: []*x509.Certificate{bundleOf(other).X509[0], bundleOf(bank).X509[0]}},
		"a key that has ended":               {JWT: []registrar.ForeignJWTKey{{ID: "k", Key: bundleOf(other).JWT[0].Key, NotAfter: time.Unix(1, 0)}}},
		"a key without ID":                   {JWT: []registrar.ForeignJWTKey{{Key: bundleOf(other).JWT[0].Key}}},
		"a key that is none":                 {JWT: []registrar.ForeignJWTKey{{ID: "k", Key: "x"}}},
		"a leaf":                             {X509: []*x509.Certificate{leaf(t, other)}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.Registrar.AppendBundle(t.Context(), memcluster.Admin, in); broker.CodeOf(err) == "" || c.View().Digest() != digest {
				t.Errorf("answered %v; changed: %v", err, c.View().Digest() != digest)
			}
		})
	}
}

func leaf(t testing.TB, c *memcluster.Cluster) *x509.Certificate {
	svid, err := c.Registrar.MintX509(t.Context(), memcluster.Admin, registrar.MintX509{CSR: csr(t, x509.CertificateRequest{}, "spiffe://acme.example/a")})
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, svid)
}
