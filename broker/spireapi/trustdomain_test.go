package spireapi_test

import (
	"errors"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	trustdomainv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/trustdomain/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/memcluster"
)

func toBank() *types.FederationRelationship {
	return &types.FederationRelationship{
		TrustDomain: "bank.example", BundleEndpointUrl: "https://bank.example/bundle",
		BundleEndpointProfile: &types.FederationRelationship_HttpsSpiffe{
			HttpsSpiffe: &types.HTTPSSPIFFEProfile{EndpointSpiffeId: "spiffe://bank.example/spire/server"},
		},
	}
}

func toShop() *types.FederationRelationship {
	return &types.FederationRelationship{
		TrustDomain: "shop.example", BundleEndpointUrl: "https://shop.example/bundle",
		BundleEndpointProfile: &types.FederationRelationship_HttpsWeb{HttpsWeb: &types.HTTPSWebProfile{}},
	}
}

func relate(t testing.TB, s *served, relationships ...*types.FederationRelationship) []*trustdomainv1.BatchCreateFederationRelationshipResponse_Result {
	t.Helper()
	resp, err := trustdomainv1.NewTrustDomainClient(s.conn).BatchCreateFederationRelationship(t.Context(),
		&trustdomainv1.BatchCreateFederationRelationshipRequest{FederationRelationships: relationships})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Results
}

func TestARelationshipComesBackAsItWasCreated(t *testing.T) {
	s := serve(t, memcluster.Options{})
	withBundle := toBank()
	withBundle.TrustDomainBundle = bundleOf(t, "bank.example")
	results := relate(t, s, withBundle, toShop(), toShop())
	for i, want := range []codes.Code{codes.OK, codes.OK, codes.AlreadyExists} {
		wantStatus(t, results[i].Status, want)
	}
	client := trustdomainv1.NewTrustDomainClient(s.conn)
	got, err := client.GetFederationRelationship(t.Context(), &trustdomainv1.GetFederationRelationshipRequest{TrustDomain: "bank.example"})
	if err != nil || !proto.Equal(got, withBundle) || !proto.Equal(results[0].FederationRelationship, withBundle) {
		t.Errorf("got %v, %v, want %v", got, err, withBundle)
	}
	got, err = client.GetFederationRelationship(t.Context(), &trustdomainv1.GetFederationRelationshipRequest{
		TrustDomain: "bank.example", OutputMask: &types.FederationRelationshipMask{BundleEndpointProfile: true},
	})
	want := &types.FederationRelationship{TrustDomain: "bank.example", BundleEndpointProfile: toBank().BundleEndpointProfile}
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("masked %v, %v, want %v", got, err, want)
	}
	list, err := client.ListFederationRelationships(t.Context(), &trustdomainv1.ListFederationRelationshipsRequest{PageSize: 1})
	if err != nil || len(list.FederationRelationships) != 1 || list.NextPageToken == "" {
		t.Fatalf("listed %v, %v", list, err)
	}
	list, err = client.ListFederationRelationships(t.Context(), &trustdomainv1.ListFederationRelationshipsRequest{PageToken: list.NextPageToken})
	if err != nil || len(list.FederationRelationships) != 1 || !proto.Equal(list.FederationRelationships[0], toShop()) || list.NextPageToken != "" {
		t.Errorf("listed %v, %v", list, err)
	}
}

func TestUpdateRelationshipChangesWhatTheMaskNames(t *testing.T) {
	s := serve(t, memcluster.Options{})
	relate(t, s, toBank())
	moved := &types.FederationRelationship{TrustDomain: "bank.example", BundleEndpointUrl: "https://new.bank.example/"}
	client := trustdomainv1.NewTrustDomainClient(s.conn)
	update := func(f *types.FederationRelationship, mask *types.FederationRelationshipMask) *trustdomainv1.BatchUpdateFederationRelationshipResponse_Result {
		t.Helper()
		resp, err := client.BatchUpdateFederationRelationship(t.Context(), &trustdomainv1.BatchUpdateFederationRelationshipRequest{
			FederationRelationships: []*types.FederationRelationship{f}, InputMask: mask,
		})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Results[0]
	}
	r := update(moved, &types.FederationRelationshipMask{BundleEndpointUrl: true})
	wantStatus(t, r.Status, codes.OK)
	if r.FederationRelationship.BundleEndpointUrl != moved.BundleEndpointUrl || r.FederationRelationship.GetHttpsSpiffe() == nil {
		t.Errorf("updated to %v", r.FederationRelationship)
	}
	bundle := &types.FederationRelationship{TrustDomain: "bank.example", TrustDomainBundle: bundleOf(t, "bank.example")}
	r = update(bundle, &types.FederationRelationshipMask{TrustDomainBundle: true})
	wantStatus(t, r.Status, codes.OK)
	if !proto.Equal(r.FederationRelationship.TrustDomainBundle, bundle.TrustDomainBundle) || r.FederationRelationship.BundleEndpointUrl != moved.BundleEndpointUrl {
		t.Errorf("updated to %v", r.FederationRelationship)
	}
	wantStatus(t, update(toBank(), &types.FederationRelationshipMask{}).Status, codes.OK)
	wantStatus(t, update(toShop(), nil).Status, codes.NotFound)
	wantStatus(t, update(moved, nil).Status, codes.InvalidArgument) // it has no profile
	wrong := toBank()
	wrong.TrustDomainBundle = bundleOf(t, "shop.example")
	wantStatus(t, update(wrong, nil).Status, codes.InvalidArgument)
}

func TestRootsOfARelationshipOutliveAnUpdateBySPIREsAPI(t *testing.T) {
	s := serve(t, memcluster.Options{})
	roots := []byte(rootPEM(t))
	s.Do(t, state.PutRelationship{Relationship: federation.Relationship{
		TrustDomain: spiffeid.RequireTrustDomainFromString("shop.example"), URL: "https://shop.example/", Profile: federation.HTTPSWeb, Roots: roots,
	}})
	client := trustdomainv1.NewTrustDomainClient(s.conn)
	for _, step := range []struct {
		f    *types.FederationRelationship
		want string
	}{
		{toShop(), string(roots)},
		{&types.FederationRelationship{TrustDomain: "shop.example", BundleEndpointUrl: "https://shop.example/", BundleEndpointProfile: toBank().BundleEndpointProfile}, ""},
	} {
		resp, err := client.BatchUpdateFederationRelationship(t.Context(), &trustdomainv1.BatchUpdateFederationRelationshipRequest{FederationRelationships: []*types.FederationRelationship{step.f}})
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, resp.Results[0].Status, codes.OK)
		got, _ := s.View().Relationship(spiffeid.RequireTrustDomainFromString("shop.example"))
		if string(got.Roots) != step.want {
			t.Errorf("%s: roots are %q", got.Profile, got.Roots)
		}
	}
}

func TestRelationshipsAreRefusedAtTheDoor(t *testing.T) {
	s := serve(t, memcluster.Options{})
	for name, change := range map[string]func(*types.FederationRelationship){
		"no domain":         func(f *types.FederationRelationship) { f.TrustDomain = "" },
		"our own domain":    func(f *types.FederationRelationship) { f.TrustDomain = acme },
		"a malformed one":   func(f *types.FederationRelationship) { f.TrustDomain = "spiffe://bank.example/x" },
		"http":              func(f *types.FederationRelationship) { f.BundleEndpointUrl = "http://bank.example" },
		"a password":        func(f *types.FederationRelationship) { f.BundleEndpointUrl = "https://a:b@bank.example" },
		"no profile":        func(f *types.FederationRelationship) { f.BundleEndpointProfile = nil },
		"a bad endpoint ID": func(f *types.FederationRelationship) { f.GetHttpsSpiffe().EndpointSpiffeId = "bank" },
		"an empty profile": func(f *types.FederationRelationship) {
			f.BundleEndpointProfile = &types.FederationRelationship_HttpsSpiffe{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := toBank()
			change(f)
			wantStatus(t, relate(t, s, f)[0].Status, codes.InvalidArgument)
		})
	}
}

func TestDeleteRelationshipTakesItsBundleAlong(t *testing.T) {
	s := serve(t, memcluster.Options{})
	withBundle := toBank()
	withBundle.TrustDomainBundle = bundleOf(t, "bank.example")
	relate(t, s, withBundle)
	resp, err := trustdomainv1.NewTrustDomainClient(s.conn).BatchDeleteFederationRelationship(t.Context(),
		&trustdomainv1.BatchDeleteFederationRelationshipRequest{TrustDomains: []string{"bank.example", "bank.example", ""}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []codes.Code{codes.OK, codes.NotFound, codes.InvalidArgument} {
		wantStatus(t, resp.Results[i].Status, want)
	}
	if s.View().BundleCount() != 0 {
		t.Error("the bundle outlives the relationship")
	}
}

func TestRefreshBundleAnswersWhenThePollHasEnded(t *testing.T) {
	s := serve(t, memcluster.Options{})
	client := trustdomainv1.NewTrustDomainClient(s.conn)
	refresh := func(name string) error {
		_, err := client.RefreshBundle(t.Context(), &trustdomainv1.RefreshBundleRequest{TrustDomain: name})
		return err
	}
	wantCode(t, refresh("bank.example"), codes.NotFound)
	wantCode(t, refresh("a b"), codes.InvalidArgument)
	relate(t, s, toBank())
	if err := refresh("bank.example"); err != nil {
		t.Error(err)
	}
	s.Peers.OnRefresh(func(spiffeid.TrustDomain) (federation.Status, error) {
		return federation.Status{LastError: "it did not answer"}, nil
	})
	wantCode(t, refresh("bank.example"), codes.Unavailable)
	s.Peers.OnRefresh(func(spiffeid.TrustDomain) (federation.Status, error) {
		return federation.Status{}, errors.New("broken")
	})
	wantCode(t, refresh("bank.example"), codes.Internal)
}
