package spireapi_test

import (
	"strings"
	"testing"
	"time"

	localauthorityv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/localauthority/v1"
	"google.golang.org/grpc/codes"

	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memcluster"
)

// labSettings have no publication window.
func labSettings() state.Settings {
	s := state.DefaultSettings()
	s.PublicationWindow = 0
	return s
}

func TestAnX509AuthorityTurns(t *testing.T) {
	s := serve(t, memcluster.Options{Settings: labSettings()})
	client, ctx := localauthorityv1.NewLocalAuthorityClient(s.conn), t.Context()
	before, err := client.GetX509AuthorityState(ctx, &localauthorityv1.GetX509AuthorityStateRequest{})
	if err != nil || before.Active.GetExpiresAt() < time.Now().Unix() || before.Prepared == nil || before.Old != nil {
		t.Fatalf("state %v, %v", before, err)
	}
	prepared, err := client.PrepareX509Authority(ctx, &localauthorityv1.PrepareX509AuthorityRequest{})
	if err != nil || prepared.PreparedAuthority.AuthorityId != before.Prepared.AuthorityId {
		t.Errorf("prepared %v, %v, want the one that is prepared already", prepared, err)
	}
	activated, err := client.ActivateX509Authority(ctx, &localauthorityv1.ActivateX509AuthorityRequest{AuthorityId: before.Prepared.AuthorityId})
	if err != nil || activated.ActivatedAuthority.AuthorityId != before.Prepared.AuthorityId {
		t.Fatalf("activated %v, %v", activated, err)
	}
	old := before.Active.AuthorityId
	_, err = client.RevokeX509Authority(ctx, &localauthorityv1.RevokeX509AuthorityRequest{AuthorityId: old})
	wantCode(t, err, codes.FailedPrecondition) // not tainted yet
	tainted, err := client.TaintX509Authority(ctx, &localauthorityv1.TaintX509AuthorityRequest{AuthorityId: old})
	if err != nil || tainted.TaintedAuthority.AuthorityId != old {
		t.Fatalf("tainted %v, %v", tainted, err)
	}
	after, err := client.GetX509AuthorityState(ctx, &localauthorityv1.GetX509AuthorityStateRequest{})
	if err != nil || after.Old.GetAuthorityId() != old || after.Prepared != nil {
		t.Errorf("state %v, %v", after, err)
	}
	revoked, err := client.RevokeX509Authority(ctx, &localauthorityv1.RevokeX509AuthorityRequest{AuthorityId: old})
	if err != nil || revoked.RevokedAuthority.AuthorityId != old || len(s.View().Own().Bundle.X509) != 1 {
		t.Errorf("revoked %v, %v; %d are published", revoked, err, len(s.View().Own().Bundle.X509))
	}
	next, err := client.PrepareX509Authority(ctx, &localauthorityv1.PrepareX509AuthorityRequest{})
	if err != nil || next.PreparedAuthority.AuthorityId == activated.ActivatedAuthority.AuthorityId || len(s.View().Own().Bundle.X509) != 2 {
		t.Errorf("prepared %v, %v", next, err)
	}
}

func TestAJWTAuthorityTurns(t *testing.T) {
	s := serve(t, memcluster.Options{Settings: labSettings(), NoneWaiting: true})
	client, ctx := localauthorityv1.NewLocalAuthorityClient(s.conn), t.Context()
	before, err := client.GetJWTAuthorityState(ctx, &localauthorityv1.GetJWTAuthorityStateRequest{})
	if err != nil || before.Active == nil || before.Prepared != nil {
		t.Fatalf("state %v, %v", before, err)
	}
	prepared, err := client.PrepareJWTAuthority(ctx, &localauthorityv1.PrepareJWTAuthorityRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.ActivateJWTAuthority(ctx, &localauthorityv1.ActivateJWTAuthorityRequest{AuthorityId: prepared.PreparedAuthority.AuthorityId}); err != nil {
		t.Fatal(err)
	}
	old := before.Active.AuthorityId
	if _, err := client.TaintJWTAuthority(ctx, &localauthorityv1.TaintJWTAuthorityRequest{AuthorityId: old}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.RevokeJWTAuthority(ctx, &localauthorityv1.RevokeJWTAuthorityRequest{AuthorityId: old}); err != nil {
		t.Fatal(err)
	}
	if n := len(s.View().Own().Bundle.JWT); n != 1 {
		t.Errorf("%d JWT authorities are published, want 1", n)
	}
}

func TestActivationInsideThePublicationWindowNamesTheTime(t *testing.T) {
	s := serve(t, memcluster.Options{})
	next := stage(s, ca.X509, ca.Prepared)
	_, err := localauthorityv1.NewLocalAuthorityClient(s.conn).ActivateX509Authority(t.Context(),
		&localauthorityv1.ActivateX509AuthorityRequest{AuthorityId: next.ID})
	wantCode(t, err, codes.FailedPrecondition)
	if want := next.PreparedAt.Add(3 * time.Minute).UTC().Format(time.RFC3339); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not name %s", err, want)
	}
}

func TestAuthoritiesThatCannotBeMeant(t *testing.T) {
	s := serve(t, memcluster.Options{})
	client, ctx := localauthorityv1.NewLocalAuthorityClient(s.conn), t.Context()
	active, prepared := stage(s, ca.X509, ca.Active).ID, stage(s, ca.X509, ca.Prepared).ID
	for _, name := range []string{"", "none", active, prepared} {
		_, err := client.TaintX509Authority(ctx, &localauthorityv1.TaintX509AuthorityRequest{AuthorityId: name})
		wantCode(t, err, codes.InvalidArgument)
		_, err = client.RevokeX509Authority(ctx, &localauthorityv1.RevokeX509AuthorityRequest{AuthorityId: name})
		wantCode(t, err, codes.InvalidArgument)
		_, err = client.TaintJWTAuthority(ctx, &localauthorityv1.TaintJWTAuthorityRequest{AuthorityId: name})
		wantCode(t, err, codes.InvalidArgument)
	}
	for _, name := range []string{"", "none"} {
		_, err := client.ActivateX509Authority(ctx, &localauthorityv1.ActivateX509AuthorityRequest{AuthorityId: name})
		wantCode(t, err, codes.InvalidArgument)
	}
	_, err := client.ActivateX509Authority(ctx, &localauthorityv1.ActivateX509AuthorityRequest{AuthorityId: active})
	wantCode(t, err, codes.FailedPrecondition)
}

func TestThereIsNoUpstreamAuthority(t *testing.T) {
	s := serve(t, memcluster.Options{})
	client := localauthorityv1.NewLocalAuthorityClient(s.conn)
	_, err := client.TaintX509UpstreamAuthority(t.Context(), &localauthorityv1.TaintX509UpstreamAuthorityRequest{SubjectKeyId: "00"})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = client.RevokeX509UpstreamAuthority(t.Context(), &localauthorityv1.RevokeX509UpstreamAuthorityRequest{SubjectKeyId: "00"})
	wantCode(t, err, codes.FailedPrecondition)
}
