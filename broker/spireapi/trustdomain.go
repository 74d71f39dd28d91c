package spireapi

import (
	"context"

	trustdomainv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/trustdomain/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
)

// trustDomains is spire.api.server.trustdomain.v1.TrustDomain.
type trustDomains struct {
	trustdomainv1.UnsafeTrustDomainServer
	desk
}

func (s trustDomains) ListFederationRelationships(ctx context.Context, req *trustdomainv1.ListFederationRelationshipsRequest) (*trustdomainv1.ListFederationRelationshipsResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	list, err := s.registrar.Relationships(ctx, who, registrar.Page{Size: int(req.PageSize), Token: req.PageToken})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	resp := &trustdomainv1.ListFederationRelationshipsResponse{}
	resp.FederationRelationships, resp.NextPageToken = page(list, func(p registrar.Peer) *types.FederationRelationship {
		return writeRelationship(p, req.OutputMask)
	})
	return resp, nil
}

func (s trustDomains) GetFederationRelationship(ctx context.Context, req *trustdomainv1.GetFederationRelationshipRequest) (*types.FederationRelationship, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.get(ctx, who, req.TrustDomain, req.OutputMask)
	return found, s.err(ctx, err)
}

func (s trustDomains) get(ctx context.Context, who broker.Caller, name string, mask *types.FederationRelationshipMask) (*types.FederationRelationship, error) {
	td, err := readDomain("trust_domain", name)
	if err != nil {
		return nil, err
	}
	peer, err := s.registrar.Relationship(ctx, who, td)
	if err != nil {
		return nil, err
	}
	return writeRelationship(peer, mask), nil
}

func (s trustDomains) BatchCreateFederationRelationship(ctx context.Context, req *trustdomainv1.BatchCreateFederationRelationshipRequest) (*trustdomainv1.BatchCreateFederationRelationshipResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	results, err := batch(who, req, req.FederationRelationships, ofPeer, func(who broker.Caller, f *types.FederationRelationship) *trustdomainv1.BatchCreateFederationRelationshipResponse_Result {
		set, err := s.set(ctx, who, f, registrar.MustNot, nil, req.OutputMask)
		return &trustdomainv1.BatchCreateFederationRelationshipResponse_Result{Status: s.status(ctx, err), FederationRelationship: set}
	})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &trustdomainv1.BatchCreateFederationRelationshipResponse{Results: results}, nil
}

func (s trustDomains) BatchUpdateFederationRelationship(ctx context.Context, req *trustdomainv1.BatchUpdateFederationRelationshipRequest) (*trustdomainv1.BatchUpdateFederationRelationshipResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	results, err := batch(who, req, req.FederationRelationships, ofPeer, func(who broker.Caller, f *types.FederationRelationship) *trustdomainv1.BatchUpdateFederationRelationshipResponse_Result {
		set, err := s.set(ctx, who, f, registrar.MustAlready, req.InputMask, req.OutputMask)
		return &trustdomainv1.BatchUpdateFederationRelationshipResponse_Result{Status: s.status(ctx, err), FederationRelationship: set}
	})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &trustdomainv1.BatchUpdateFederationRelationshipResponse{Results: results}, nil
}

func ofPeer(f *types.FederationRelationship) []string { return []string{f.GetTrustDomain()} }

func (s trustDomains) set(ctx context.Context, who broker.Caller, f *types.FederationRelationship, expect registrar.Exists, in, out *types.FederationRelationshipMask) (*types.FederationRelationship, error) {
	request, err := readRelationship(f, in)
	if err != nil {
		return nil, err
	}
	request.Expect = expect
	if request.Fields == 0 {
		err = s.setBundle(ctx, who, request)
	} else {
		_, err = s.registrar.SetRelationship(ctx, who, request)
	}
	if err != nil {
		return nil, err
	}
	return s.get(ctx, who, f.GetTrustDomain(), out)
}

// setBundle changes the bundle of a relationship and nothing else, or nothing
// at all: a mask that names nothing changes nothing.
func (s trustDomains) setBundle(ctx context.Context, who broker.Caller, request registrar.SetRelationship) error {
	peer, err := s.registrar.Relationship(ctx, who, request.Relationship.TrustDomain)
	if err != nil || request.Bundle == nil {
		return err
	}
	_, err = s.registrar.SetRelationship(ctx, who, registrar.SetRelationship{
		Relationship: peer.Relationship, Expect: registrar.MustAlready, IfRevision: &peer.Relationship.Revision, Bundle: request.Bundle,
	})
	return err
}

func (s trustDomains) BatchDeleteFederationRelationship(ctx context.Context, req *trustdomainv1.BatchDeleteFederationRelationshipRequest) (*trustdomainv1.BatchDeleteFederationRelationshipResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	byName := func(name string) []string { return []string{name} }
	results, err := batch(who, req, req.TrustDomains, byName, func(who broker.Caller, name string) *trustdomainv1.BatchDeleteFederationRelationshipResponse_Result {
		td, err := readDomain("trust_domain", name)
		if err == nil {
			name = td.Name()
			_, err = s.registrar.DeleteRelationship(ctx, who, registrar.DeleteRelationship{TrustDomain: td})
		}
		return &trustdomainv1.BatchDeleteFederationRelationshipResponse_Result{Status: s.status(ctx, err), TrustDomain: name}
	})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &trustdomainv1.BatchDeleteFederationRelationshipResponse{Results: results}, nil
}

// RefreshBundle answers when the poll has ended; one that failed is
// Unavailable, with the reason.
func (s trustDomains) RefreshBundle(ctx context.Context, req *trustdomainv1.RefreshBundleRequest) (*emptypb.Empty, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	td, err := readDomain("trust_domain", req.TrustDomain)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	peer, err := s.registrar.Refresh(ctx, who, td)
	if err == nil && peer.Status.LastError != "" {
		err = broker.Refuse(broker.Unavailable, "the bundle of %s was not refreshed: %s", td, peer.Status.LastError)
	}
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &emptypb.Empty{}, nil
}
