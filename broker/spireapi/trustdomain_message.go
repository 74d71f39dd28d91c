package spireapi

import (
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"
)

// readRelationship reads what mask names of f, and its trust domain; no mask
// names all. CA roots are not in SPIRE's API, so they stay as they are, unless
// the profile becomes one that has none.
func readRelationship(f *types.FederationRelationship, mask *types.FederationRelationshipMask) (out registrar.SetRelationship, err error) {
	if mask == nil {
		mask = &types.FederationRelationshipMask{BundleEndpointUrl: true, BundleEndpointProfile: true, TrustDomainBundle: true}
	}
	if out.Relationship.TrustDomain, err = readDomain("trust_domain", f.GetTrustDomain()); err != nil {
		return out, err
	}
	if mask.BundleEndpointUrl {
		out.Fields |= registrar.RelationshipURL
		out.Relationship.URL = f.GetBundleEndpointUrl()
	}
	if mask.BundleEndpointProfile {
		out.Fields |= registrar.RelationshipProfile
		if err := readProfile(f, &out); err != nil {
			return out, err
		}
	}
	if bundle := f.GetTrustDomainBundle(); mask.TrustDomainBundle && bundle != nil {
		if out.Bundle, err = readBundle(bundle, registrar.AllBundleFields); err != nil {
			return out, err
		}
	}
	return out, nil
}

func readProfile(f *types.FederationRelationship, out *registrar.SetRelationship) error {
	switch profile := f.GetBundleEndpointProfile().(type) {
	case *types.FederationRelationship_HttpsWeb:
		out.Relationship.Profile = federation.HTTPSWeb
	case *types.FederationRelationship_HttpsSpiffe:
		id, err := workload.ParseID(profile.HttpsSpiffe.GetEndpointSpiffeId())
		if err != nil {
			return broker.Refuse(broker.InvalidArgument, "endpoint_spiffe_id: %v", err)
		}
		out.Relationship.Profile, out.Relationship.EndpointID = federation.HTTPSSPIFFE, id
		out.Fields |= registrar.RelationshipRoots
	default:
		return broker.Refuse(broker.InvalidArgument, "bundle_endpoint_profile is missing: set https_web or https_spiffe")
	}
	return nil
}

// writeRelationship writes what mask names of a relationship, and its trust
// domain.
func writeRelationship(p registrar.Peer, mask *types.FederationRelationshipMask) *types.FederationRelationship {
	out := &types.FederationRelationship{
		TrustDomain:       p.Relationship.TrustDomain.Name(),
		BundleEndpointUrl: p.Relationship.URL,
	}
	switch p.Relationship.Profile {
	case federation.HTTPSWeb:
		out.BundleEndpointProfile = &types.FederationRelationship_HttpsWeb{HttpsWeb: &types.HTTPSWebProfile{}}
	case federation.HTTPSSPIFFE:
		out.BundleEndpointProfile = &types.FederationRelationship_HttpsSpiffe{
			HttpsSpiffe: &types.HTTPSSPIFFEProfile{EndpointSpiffeId: p.Relationship.EndpointID.String()},
		}
	}
	if p.Bundle != nil {
		out.TrustDomainBundle = writeBundle(p.Bundle, nil)
	}
	applyMask(out, mask, "trust_domain")
	return out
}
