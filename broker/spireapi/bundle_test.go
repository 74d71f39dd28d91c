package spireapi_test

import (
	"crypto/x509"
	"fmt"
	"slices"
	"testing"

	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memcluster"
)

// bundleOf is the bundle of a new domain, as SPIRE's API writes it.
func bundleOf(t testing.TB, name string) *types.Bundle {
	t.Helper()
	b := memcluster.New(t, name, memcluster.Options{NoneWaiting: true}).View().Own().Bundle
	out := &types.Bundle{TrustDomain: name, RefreshHint: 60, SequenceNumber: b.Sequence}
	for _, c := range b.X509 {
		out.X509Authorities = append(out.X509Authorities, &types.X509Certificate{Asn1: c.Raw})
	}
	for _, k := range b.JWT {
		der, err := x509.MarshalPKIXPublicKey(k.Key)
		if err != nil {
			t.Fatal(err)
		}
		out.JwtAuthorities = append(out.JwtAuthorities, &types.JWTKey{KeyId: k.ID, PublicKey: der})
	}
	return out
}

func TestGetBundleIsPublicAndSaysWhatIsTainted(t *testing.T) {
	s := serve(t, memcluster.Options{})
	s.Do(t, activate(s, ca.JWT))
	s.Do(t, taint(s, ca.JWT))
	client := bundlev1.NewBundleClient(s.conn)
	b, err := client.GetBundle(as(t.Context(), "nobody"), &bundlev1.GetBundleRequest{})
	if err != nil {
		t.Fatal(err)
	}
	tainted := 0
	for _, k := range b.JwtAuthorities {
		if k.ExpiresAt == 0 {
			t.Errorf("JWT authority %s has no end", k.KeyId)
		}
		if k.Tainted {
			tainted++
		}
	}
	if b.TrustDomain != acme || len(b.X509Authorities) != 2 || len(b.JwtAuthorities) != 2 || tainted != 1 || b.RefreshHint != 60 || b.SequenceNumber == 0 {
		t.Errorf("bundle is %v", b)
	}
	masked, err := client.GetBundle(t.Context(), &bundlev1.GetBundleRequest{OutputMask: &types.BundleMask{RefreshHint: true}})
	if want := (&types.Bundle{TrustDomain: acme, RefreshHint: 60}); err != nil || !proto.Equal(masked, want) {
		t.Errorf("masked: %v, %v, want %v", masked, err, want)
	}
}

func TestAFederatedBundleIsCreatedReadUpdatedSetAndDeleted(t *testing.T) {
	s := serve(t, memcluster.Options{})
	ctx, client, bank := t.Context(), bundlev1.NewBundleClient(s.conn), bundleOf(t, "bank.example")

	updated, err := client.BatchUpdateFederatedBundle(ctx, &bundlev1.BatchUpdateFederatedBundleRequest{Bundle: []*types.Bundle{bank}})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, updated.Results[0].Status, codes.NotFound)
	created, err := client.BatchCreateFederatedBundle(ctx, &bundlev1.BatchCreateFederatedBundleRequest{Bundle: []*types.Bundle{bank, bank}})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, created.Results[0].Status, codes.OK)
	wantStatus(t, created.Results[1].Status, codes.AlreadyExists)
	if got := created.Results[0].Bundle; !proto.Equal(got, bank) || created.Results[1].Bundle != nil {
		t.Errorf("created %v, want %v", got, bank)
	}
	got, err := client.GetFederatedBundle(as(ctx, "reader"), &bundlev1.GetFederatedBundleRequest{TrustDomain: "bank.example"})
	if err != nil || !proto.Equal(got, bank) {
		t.Errorf("got %v, %v", got, err)
	}
	updated, err = client.BatchUpdateFederatedBundle(ctx, &bundlev1.BatchUpdateFederatedBundleRequest{
		Bundle:    []*types.Bundle{{TrustDomain: "bank.example", RefreshHint: 300, JwtAuthorities: []*types.JWTKey{{KeyId: "broken"}}}},
		InputMask: &types.BundleMask{RefreshHint: true}, OutputMask: &types.BundleMask{RefreshHint: true},
	})
	if want := (&types.Bundle{TrustDomain: "bank.example", RefreshHint: 300}); err != nil || !proto.Equal(updated.Results[0].Bundle, want) {
		t.Errorf("updated %v, %v", updated, err)
	}
	set, err := client.BatchSetFederatedBundle(ctx, &bundlev1.BatchSetFederatedBundleRequest{Bundle: []*types.Bundle{bank, bundleOf(t, "shop.example")}})
	if err != nil || set.Results[0].Status.Code != 0 || set.Results[1].Status.Code != 0 || set.Results[0].Bundle.RefreshHint != 60 {
		t.Errorf("set %v, %v", set, err)
	}
	if n, err := client.CountBundles(ctx, &bundlev1.CountBundlesRequest{}); err != nil || n.Count != 3 {
		t.Errorf("counted %v, %v, want three with our own", n, err)
	}
	list, err := client.ListFederatedBundles(ctx, &bundlev1.ListFederatedBundlesRequest{PageSize: 1, OutputMask: &types.BundleMask{}})
	if err != nil || len(list.Bundles) != 1 || list.Bundles[0].TrustDomain != "bank.example" || list.NextPageToken == "" {
		t.Errorf("listed %v, %v", list, err)
	}
	deleted, err := client.BatchDeleteFederatedBundle(ctx, &bundlev1.BatchDeleteFederatedBundleRequest{TrustDomains: []string{"bank.example", "bank.example", "a b", acme}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []codes.Code{codes.OK, codes.NotFound, codes.InvalidArgument, codes.InvalidArgument} {
		wantStatus(t, deleted.Results[i].Status, want)
	}
}

func TestTheModeDecidesOverEntriesThatFederate(t *testing.T) {
	for mode, want := range map[bundlev1.BatchDeleteFederatedBundleRequest_Mode]struct {
		code    codes.Code
		entries int
	}{
		bundlev1.BatchDeleteFederatedBundleRequest_RESTRICT:   {codes.FailedPrecondition, 1},
		bundlev1.BatchDeleteFederatedBundleRequest_DISSOCIATE: {codes.OK, 1},
		bundlev1.BatchDeleteFederatedBundleRequest_DELETE:     {codes.OK, 0},
	} {
		t.Run(mode.String(), func(t *testing.T) {
			s := serve(t, memcluster.Options{})
			client := bundlev1.NewBundleClient(s.conn)
			if _, err := client.BatchSetFederatedBundle(t.Context(), &bundlev1.BatchSetFederatedBundleRequest{Bundle: []*types.Bundle{bundleOf(t, "bank.example")}}); err != nil {
				t.Fatal(err)
			}
			createEntries(t, s, &types.Entry{SpiffeId: id("/web"), Selectors: selectors("uid:1"), FederatesWith: []string{"bank.example"}})
			resp, err := client.BatchDeleteFederatedBundle(t.Context(), &bundlev1.BatchDeleteFederatedBundleRequest{TrustDomains: []string{"bank.example"}, Mode: mode})
			if err != nil {
				t.Fatal(err)
			}
			wantStatus(t, resp.Results[0].Status, want.code)
			if n := s.View().EntryCount(); n != want.entries {
				t.Errorf("%d entries are left, want %d", n, want.entries)
			}
		})
	}
	s := serve(t, memcluster.Options{})
	_, err := bundlev1.NewBundleClient(s.conn).BatchDeleteFederatedBundle(t.Context(), &bundlev1.BatchDeleteFederatedBundleRequest{Mode: 9})
	wantCode(t, err, codes.InvalidArgument)
}

func TestAnEntryMayFederateWithABundleThatIsNotHeld(t *testing.T) {
	s := serve(t, memcluster.Options{})
	r := createEntries(t, s, &types.Entry{SpiffeId: id("/web"), Selectors: selectors("uid:1"), FederatesWith: []string{"nobody.example"}})[0]
	wantStatus(t, r.Status, codes.OK)
}

func TestBundlesAreRefusedAtTheDoor(t *testing.T) {
	s := serve(t, memcluster.Options{})
	own := bundleOf(t, acme)
	stolen := proto.CloneOf(own)
	client := bundlev1.NewBundleClient(s.conn)
	ours, err := client.GetBundle(t.Context(), &bundlev1.GetBundleRequest{})
	if err != nil {
		t.Fatal(err)
	}
	stolen.TrustDomain, stolen.X509Authorities = "bank.example", ours.X509Authorities
	for name, b := range map[string]struct {
		change func(*types.Bundle)
		want   codes.Code
	}{
		"our own domain":          {func(b *types.Bundle) { proto.Reset(b); proto.Merge(b, own) }, codes.InvalidArgument},
		"our own keys":            {func(b *types.Bundle) { proto.Reset(b); proto.Merge(b, stolen) }, codes.FailedPrecondition},
		"no domain":               {func(b *types.Bundle) { b.TrustDomain = "" }, codes.InvalidArgument},
		"no certificate":          {func(b *types.Bundle) { b.X509Authorities[0].Asn1 = []byte("x") }, codes.InvalidArgument},
		"an empty certificate":    {func(b *types.Bundle) { b.X509Authorities[0].Asn1 = nil }, codes.InvalidArgument},
		"a key without ID":        {func(b *types.Bundle) { b.JwtAuthorities[0].KeyId = "" }, codes.InvalidArgument},
		"no key":                  {func(b *types.Bundle) { b.JwtAuthorities[0].PublicKey = nil }, codes.InvalidArgument},
		"one key ID for two keys": {func(b *types.Bundle) { b.JwtAuthorities = append(b.JwtAuthorities, b.JwtAuthorities[0]) }, codes.InvalidArgument},
		"a negative hint":         {func(b *types.Bundle) { b.RefreshHint = -1 }, codes.InvalidArgument},
		"an endless hint":         {func(b *types.Bundle) { b.RefreshHint = 1 << 60 }, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			bad := bundleOf(t, "bank.example")
			b.change(bad)
			resp, err := client.BatchSetFederatedBundle(t.Context(), &bundlev1.BatchSetFederatedBundleRequest{Bundle: []*types.Bundle{bad}})
			if err != nil {
				t.Fatal(err)
			}
			wantStatus(t, resp.Results[0].Status, b.want)
		})
	}
	for _, name := range []string{"", "a b", acme} {
		_, err := client.GetFederatedBundle(t.Context(), &bundlev1.GetFederatedBundleRequest{TrustDomain: name})
		wantCode(t, err, codes.InvalidArgument)
	}
}

func TestBundlePagesStayUnderAMessage(t *testing.T) {
	s := serve(t, memcluster.Options{})
	client := bundlev1.NewBundleClient(s.conn)
	var names []string
	for i := range 18 {
		b := &types.Bundle{TrustDomain: fmt.Sprintf("d%02d.example", i)}
		for range 2 {
			b.X509Authorities = append(b.X509Authorities, root(t, 90<<10))
		}
		names = append(names, b.TrustDomain)
		resp, err := client.BatchSetFederatedBundle(t.Context(), &bundlev1.BatchSetFederatedBundleRequest{Bundle: []*types.Bundle{b}})
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, resp.Results[0].Status, codes.OK)
	}
	var seen []string
	pages, next := 0, ""
	for pages == 0 || next != "" {
		list, err := client.ListFederatedBundles(t.Context(), &bundlev1.ListFederatedBundlesRequest{PageToken: next})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range list.Bundles {
			seen = append(seen, b.TrustDomain)
		}
		pages, next = pages+1, list.NextPageToken
	}
	if pages < 2 || !slices.Equal(seen, names) {
		t.Errorf("%d pages show %v", pages, seen)
	}
}

func TestAppendBundle(t *testing.T) {
	s := serve(t, memcluster.Options{})
	client, other := bundlev1.NewBundleClient(s.conn), bundleOf(t, acme)
	other.JwtAuthorities[0].ExpiresAt = 4102444800
	appended, err := client.AppendBundle(t.Context(), &bundlev1.AppendBundleRequest{X509Authorities: other.X509Authorities, JwtAuthorities: other.JwtAuthorities})
	if err != nil || len(appended.X509Authorities) != 3 || len(appended.JwtAuthorities) != 3 {
		t.Fatalf("appended %v, %v", appended, err)
	}
	if !slices.ContainsFunc(appended.JwtAuthorities, func(k *types.JWTKey) bool { return proto.Equal(k, other.JwtAuthorities[0]) }) {
		t.Errorf("%v is not among %v", other.JwtAuthorities[0], appended.JwtAuthorities)
	}
	for _, bad := range []*bundlev1.AppendBundleRequest{
		{}, {WitAuthorities: []*types.WITKey{{KeyId: "w"}}}, {JwtAuthorities: []*types.JWTKey{{KeyId: "k"}}}, {X509Authorities: []*types.X509Certificate{{}}},
	} {
		_, err := client.AppendBundle(t.Context(), bad)
		wantCode(t, err, codes.InvalidArgument)
	}
	_, err = client.AppendBundle(as(t.Context(), "reader"), &bundlev1.AppendBundleRequest{JwtAuthorities: other.JwtAuthorities})
	wantCode(t, err, codes.PermissionDenied)
}
