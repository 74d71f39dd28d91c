package story

import (
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/tests/world"
)

// laboratory lets an authority sign as soon as it is published.
func laboratory(c *node.Config) { c.PublicationWindow = 0 }

// signedBy returns the ID of the authority at the end of a verified chain.
func signedBy(t *testing.T, svid *x509svid.SVID, bundles x509bundle.Source) string {
	t.Helper()
	_, chains, err := x509svid.Verify(svid.Certificates, bundles)
	if err != nil {
		t.Fatalf("%s is not verified: %v", svid.ID, err)
	}
	return authorityID(chains[0][len(chains[0])-1])
}

func TestWA_1_AnX509SourceFollowsARotation(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	admin := n.Admin()
	admin.Register(client.Entry{SPIFFEID: n.ID("/billing").String(), DNSNames: []string{"billing.internal"}})
	source := n.X509Source()
	before, err := source.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	if before.ID != n.ID("/billing") || before.Certificates[0].DNSNames[0] != "billing.internal" {
		t.Errorf("the SVID is %s with %v", before.ID, before.Certificates[0].DNSNames)
	}
	first := admin.Authority("x509", "active")
	if got := signedBy(t, before, source); got != first.ID {
		t.Errorf("signed by %s, the active authority is %s", got, first.ID)
	}

	turned := admin.Turn("x509")
	world.Until(t, source.Updated(), func() bool {
		now, err := source.GetX509SVID()
		return err == nil && signedBy(t, now, source) == turned.ID
	})
	// What the first one signed is still believed, until it is revoked.
	if got := signedBy(t, before, source); got != first.ID {
		t.Errorf("before the revocation: signed by %s", got)
	}
	admin.Revoke("x509", first.ID)
	world.Until(t, source.Updated(), func() bool {
		_, _, err := x509svid.Verify(before.Certificates, source)
		return err != nil
	})
	after, err := source.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	if got := signedBy(t, after, source); got != turned.ID {
		t.Errorf("after the revocation: signed by %s", got)
	}
}

func TestWA_1_JS_10_AJWTSourceFollowsARotation(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	admin := n.Admin()
	admin.Register(client.Entry{SPIFFEID: n.ID("/billing").String(), Hint: "internal"})
	admin.Register(client.Entry{SPIFFEID: n.ID("/mail").String(), Hint: "external"})
	source, workload, ctx := n.JWTSource(), n.Client(), world.Soon(t)

	before, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "ledger", ExtraAudiences: []string{"cash"}, Subject: n.ID("/mail")})
	if err != nil {
		t.Fatal(err)
	}
	if before.ID != n.ID("/mail") || before.Hint != "external" || len(before.Audience) != 2 || time.Until(before.Expiry) > 5*time.Minute {
		t.Errorf("got %s, hint %q, for %q until %s", before.ID, before.Hint, before.Audience, before.Expiry)
	}
	all, err := workload.FetchJWTSVIDs(ctx, jwtsvid.Params{Audience: "ledger"})
	if err != nil || len(all) != 2 {
		t.Errorf("%d JWT-SVIDs, %v", len(all), err)
	}
	validated, err := workload.ValidateJWTSVID(ctx, before.Marshal(), "cash")
	if err != nil || validated.ID != before.ID || validated.Claims["sub"] != before.ID.String() {
		t.Errorf("validated as %+v, %v", validated, err)
	}
	if _, err := workload.ValidateJWTSVID(ctx, before.Marshal(), "till"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("for another audience: %v", err)
	}

	first := admin.Authority("jwt", "active")
	turned := admin.Turn("jwt")
	var after *jwtsvid.SVID
	world.Until(t, source.Updated(), func() bool {
		b, err := source.GetJWTBundleForTrustDomain(n.TrustDomain)
		return err == nil && b.HasJWTAuthority(turned.ID)
	})
	if after, err = source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "ledger"}); err != nil {
		t.Fatal(err)
	}
	for which, token := range map[string]string{"before": before.Marshal(), "after": after.Marshal()} {
		if _, err := jwtsvid.ParseAndValidate(token, source, []string{"ledger"}); err != nil {
			t.Errorf("the token from %s the rotation: %v", which, err)
		}
	}
	admin.Revoke("jwt", first.ID)
	world.Until(t, source.Updated(), func() bool {
		b, err := source.GetJWTBundleForTrustDomain(n.TrustDomain)
		return err == nil && !b.HasJWTAuthority(first.ID)
	})
	if _, err := workload.ValidateJWTSVID(ctx, before.Marshal(), "ledger"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a token of a revoked key: %v", err)
	}
	if _, err := workload.ValidateJWTSVID(ctx, after.Marshal(), "ledger"); err != nil {
		t.Errorf("a token of the key in use: %v", err)
	}
}

func TestWA_3_WA_4_WatchersSeeEveryChangeOnceAndWhole(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example", laboratory)
	admin := n.Admin()
	bank := memdomain.New(t, "bank.example")
	entry := admin.Register(client.Entry{SPIFFEID: n.ID("/billing").String(), FederatesWith: []string{"bank.example"}})
	contexts, x509s, jwts := n.WatchX509(), n.WatchX509Bundles(), n.WatchJWTBundles()
	if c := contexts.Next(); c.DefaultSVID().ID != n.ID("/billing") || c.Bundles.Len() != 1 {
		t.Errorf("the first message has %d SVIDs and %d bundles", len(c.SVIDs), c.Bundles.Len())
	}
	x509s.Next()
	jwts.Next()

	admin.SetBundle(bank.TrustDomain(), bank.Bundle().Document)
	if c := contexts.Next(); c.Bundles.Len() != 2 || len(c.SVIDs) != 1 {
		t.Errorf("with bank's bundle: %d SVIDs and %d bundles", len(c.SVIDs), c.Bundles.Len())
	}
	if s := x509s.Next(); s.Len() != 2 {
		t.Errorf("%d X.509 bundles", s.Len())
	}
	if s := jwts.Next(); s.Len() != 2 {
		t.Errorf("%d JWT bundles", s.Len())
	}

	// Somebody else's entry, and a bundle that this one does not get, are
	// nothing to these streams; the next message is that of the second identity.
	admin.Register(client.Entry{SPIFFEID: n.ID("/other").String(), Selectors: []string{"unix:uid:4294967294"}})
	other := memdomain.New(t, "other.example")
	admin.SetBundle(other.TrustDomain(), other.Bundle().Document)
	admin.Register(client.Entry{SPIFFEID: n.ID("/mail").String()})
	if c := contexts.Next(); len(c.SVIDs) != 2 || c.Bundles.Len() != 2 {
		t.Errorf("with a second identity: %d SVIDs and %d bundles", len(c.SVIDs), c.Bundles.Len())
	}

	admin.Turn("jwt")
	turned := admin.Authority("jwt", "active")
	jwts.Until("the next JWT authority", func(s *jwtbundle.Set) bool {
		b, ok := s.Get(n.TrustDomain)
		return ok && b.HasJWTAuthority(turned.ID)
	})
	next := admin.Turn("x509")
	c := contexts.Until("SVIDs of the next root", func(c *workloadapi.X509Context) bool {
		return signedBy(t, c.SVIDs[0], c.Bundles) == next.ID && signedBy(t, c.SVIDs[1], c.Bundles) == next.ID
	})
	if c.Bundles.Len() != 2 {
		t.Errorf("after the turn: %d bundles", c.Bundles.Len())
	}

	for _, e := range admin.Entries() {
		if e.ID != entry.ID {
			admin.Unregister(e.ID)
		}
	}
	contexts.Until("one identity again", func(c *workloadapi.X509Context) bool { return len(c.SVIDs) == 1 })
	admin.Unregister(entry.ID)
	for _, end := range []func() error{contexts.Error, x509s.Error, jwts.Error} {
		if err := end(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("without an identity: %v", err)
		}
	}
}

func TestWE_4_AProcessThatNoEntryMatchesIsDenied(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	n.Admin().Register(client.Entry{SPIFFEID: n.ID("/billing").String(), Selectors: []string{"unix:uid:4294967294"}})
	workload, ctx := n.Client(), world.Soon(t)
	if _, err := workload.FetchX509SVID(ctx); status.Code(err) != codes.PermissionDenied {
		t.Errorf("X.509: %v", err)
	}
	if _, err := workload.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "a"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("JWT: %v", err)
	}
	if _, err := workload.FetchX509Bundles(ctx); status.Code(err) != codes.PermissionDenied {
		t.Errorf("bundles: %v", err)
	}
}

// A ban of a node takes everything from its workloads at once, and for good.
func TestABannedNodeServesNoWorkload(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	admin := n.Admin()
	admin.Register(client.Entry{SPIFFEID: n.ID("/billing").String()})
	stream := n.WatchX509()
	stream.Next()
	agent := n.ID("/spire/agent/concord/n1").String()
	if err := admin.Try(http.MethodPost, client.Path("agents", agent, "ban"), nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := stream.Error(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the stream ended with %v", err)
	}
	for range 2 {
		if _, err := n.Client().FetchJWTSVID(world.Soon(t), jwtsvid.Params{Audience: "a"}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("a token: %v", err)
		}
		n.Stop()
		n.Start() // which lifts no ban
	}
	// Deleting it does: it attests again, at once.
	if err := n.Admin().Try(http.MethodDelete, client.Path("agents", agent), nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	world.Eventually(t, "the node serves again", func() bool {
		_, err := n.Client().FetchJWTSVID(world.Soon(t), jwtsvid.Params{Audience: "a"})
		return err == nil
	})
}

// The trust domain's name is nothing but a name (SPIFFE-ID §2.1), and IDs have
// the length that they may have, through every part of a node.
func TestID_10_ID_15_TrustDomainsAndIDsOfEveryShape(t *testing.T) {
	t.Parallel()
	long := "a" // 255 bytes
	for len(long) < 255 {
		long += "b"
	}
	for _, name := range []string{"10.0.0.1", "a_b", "-.-", long} {
		t.Run(name[:min(len(name), 12)], func(t *testing.T) {
			t.Parallel()
			n := world.Start(t, name)
			path := "/p"
			for len(n.ID(path).String()) < 2048 {
				path += "a"
			}
			id := n.ID(path)
			n.Admin().Register(client.Entry{SPIFFEID: id.String()})
			source := n.X509Source()
			svid, err := source.GetX509SVID()
			if err != nil || svid.ID != id {
				t.Fatalf("%v %v", svid, err)
			}
			signedBy(t, svid, source)
			workload, ctx := n.Client(), world.Soon(t)
			token, err := workload.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "a"})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := workload.ValidateJWTSVID(ctx, token.Marshal(), "a"); err != nil || got.ID != id {
				t.Errorf("validated: %v %v", got, err)
			}
			own := admitted(t, n)
			if got := own.TrustDomain(); got != spiffeid.RequireTrustDomainFromString(name) {
				t.Errorf("go-spiffe reads a bundle of %s", got)
			}
			if _, _, err := x509svid.Verify(svid.Certificates, own); err != nil {
				t.Error(err)
			}
		})
	}
}

// authorityID is how Concord names an X.509 authority.
func authorityID(c *x509.Certificate) string { return hexOf(c.SubjectKeyId) }
