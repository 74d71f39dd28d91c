package registrar_test

import (
	"errors"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/memcluster"
)

func toBank() federation.Relationship {
	return federation.Relationship{
		TrustDomain: domain("bank.example"), URL: "https://bank.example/bundle",
		Profile: federation.HTTPSSPIFFE, EndpointID: spiffeid.RequireFromString("spiffe://bank.example/spire/server"),
	}
}

func relate(t testing.TB, c *memcluster.Cluster, in registrar.SetRelationship) registrar.Outcome[federation.Relationship] {
	t.Helper()
	out, err := c.Registrar.SetRelationship(t.Context(), memcluster.Admin, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestARelationshipIsMadeChangedAndEnded(t *testing.T) {
	c, bank := peers(t)
	ctx, r, td := t.Context(), c.Registrar, bank.TrustDomain()
	made := relate(t, c, registrar.SetRelationship{Relationship: toBank(), Expect: registrar.MustNot, Bundle: bundleOf(bank)})
	if made.Before != nil || made.After.URL != toBank().URL || made.After.Revision != 0 {
		t.Errorf("made %+v", made)
	}
	peer, err := r.Relationship(ctx, memcluster.Reader, td)
	if err != nil || peer.Bundle == nil || peer.Bundle.Origin != "operator" {
		t.Errorf("the bundle that came with it is not held: %+v, %v", peer, err)
	}
	_, err = r.SetRelationship(ctx, memcluster.Admin, registrar.SetRelationship{Relationship: toBank(), Expect: registrar.MustNot})
	wantCode(t, err, broker.AlreadyExists)
	moved := toBank()
	moved.URL = "https://new.bank.example/"
	changed := relate(t, c, registrar.SetRelationship{
		Relationship: federation.Relationship{TrustDomain: td, URL: moved.URL}, Fields: registrar.RelationshipURL, Expect: registrar.MustAlready,
	})
	if changed.After.URL != moved.URL || changed.After.EndpointID != toBank().EndpointID || changed.After.Revision != 1 {
		t.Errorf("changed to %+v", changed.After)
	}
	stale := uint64(0)
	_, err = r.SetRelationship(ctx, memcluster.Admin, registrar.SetRelationship{Relationship: toBank(), IfRevision: &stale})
	wantCode(t, err, broker.Aborted)
	if list, err := r.Relationships(ctx, memcluster.Reader, registrar.Page{}); err != nil || len(list.Items) != 1 {
		t.Errorf("listed %v, %v", list, err)
	}
	if _, err := r.DeleteRelationship(ctx, memcluster.Admin, registrar.DeleteRelationship{TrustDomain: td}); err != nil {
		t.Fatal(err)
	}
	if c.View().Foreign(td) != nil {
		t.Error("the bundle outlives the relationship (SPIFFE Federation §6.3)")
	}
	_, err = r.Relationship(ctx, memcluster.Reader, td)
	wantCode(t, err, broker.NotFound)
	_, err = r.SetRelationship(ctx, memcluster.Admin, registrar.SetRelationship{Relationship: toBank(), Expect: registrar.MustAlready})
	wantCode(t, err, broker.NotFound)
}

func TestARelationshipWhoseBundleIsRefusedIsNotMade(t *testing.T) {
	c, bank := peers(t)
	stolen := *bundleOf(c)
	stolen.TrustDomain = bank.TrustDomain()
	for name, bundle := range map[string]*federation.Bundle{"our own keys": &stolen, "another domain's": bundleOf(c)} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Registrar.SetRelationship(t.Context(), memcluster.Admin, registrar.SetRelationship{Relationship: toBank(), Bundle: bundle})
			if broker.CodeOf(err) == "" || c.View().RelationshipCount() != 0 {
				t.Errorf("answered %v and there are %d relationships", err, c.View().RelationshipCount())
			}
		})
	}
}

func TestRelationshipsAreRefusedAtTheDoor(t *testing.T) {
	c, _ := peers(t)
	for name, change := range map[string]func(*federation.Relationship){
		"our own domain":     func(r *federation.Relationship) { r.TrustDomain = c.TrustDomain() },
		"no domain":          func(r *federation.Relationship) { r.TrustDomain = spiffeid.TrustDomain{} },
		"http":               func(r *federation.Relationship) { r.URL = "http://bank.example/" },
		"a password":         func(r *federation.Relationship) { r.URL = "https://a:b@bank.example/" },
		"no endpoint ID":     func(r *federation.Relationship) { r.EndpointID = spiffeid.ID{} },
		"an unknown profile": func(r *federation.Relationship) { r.Profile = "ftp" },
		"no profile":         func(r *federation.Relationship) { r.Profile = "" },
	} {
		t.Run(name, func(t *testing.T) {
			rel := toBank()
			change(&rel)
			_, err := c.Registrar.SetRelationship(t.Context(), memcluster.Admin, registrar.SetRelationship{Relationship: rel})
			wantCode(t, err, broker.InvalidArgument)
		})
	}
}

func TestRelationshipDryRun(t *testing.T) {
	c, bank := peers(t)
	digest := c.View().Digest()
	out := relate(t, c, registrar.SetRelationship{Relationship: toBank(), Bundle: bundleOf(bank), DryRun: true})
	if out.After == nil || c.View().Digest() != digest {
		t.Errorf("the dry run shows %+v and changed something: %v", out, c.View().Digest() != digest)
	}
}

func TestARetriedRelationshipIsMadeOnce(t *testing.T) {
	c, bank := peers(t)
	who := memcluster.Admin
	who.RequestID = "req-1"
	for range 2 {
		out, err := c.Registrar.SetRelationship(t.Context(), who, registrar.SetRelationship{Relationship: toBank(), Expect: registrar.MustNot, Bundle: bundleOf(bank)})
		if err != nil || out.After == nil || out.After.Revision != 0 {
			t.Errorf("%+v, %v", out, err)
		}
	}
}

func TestRefreshTellsHowThePollWent(t *testing.T) {
	c, bank := peers(t)
	td := bank.TrustDomain()
	_, err := c.Registrar.Refresh(t.Context(), memcluster.Admin, td)
	wantCode(t, err, broker.NotFound)
	relate(t, c, registrar.SetRelationship{Relationship: toBank()})
	c.Peers.OnRefresh(func(spiffeid.TrustDomain) (federation.Status, error) {
		return federation.Status{State: federation.StateDegraded, LastError: "no route"}, nil
	})
	peer, err := c.Registrar.Refresh(t.Context(), memcluster.Admin, td)
	if err != nil || peer.Status.LastError != "no route" {
		t.Errorf("%+v, %v", peer, err)
	}
	lost := errors.New("no poller")
	c.Peers.OnRefresh(func(spiffeid.TrustDomain) (federation.Status, error) { return federation.Status{}, lost })
	if _, err := c.Registrar.Refresh(t.Context(), memcluster.Admin, td); !errors.Is(err, lost) {
		t.Errorf("error is %v, want %v", err, lost)
	}
}
