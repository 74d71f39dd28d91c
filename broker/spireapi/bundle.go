package spireapi

import (
	"context"

	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"

	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/federation"
)

// bundles is spire.api.server.bundle.v1.Bundle.
type bundles struct {
	bundlev1.UnsafeBundleServer
	desk
}

func (s bundles) CountBundles(ctx context.Context, _ *bundlev1.CountBundlesRequest) (*bundlev1.CountBundlesResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	count, err := s.registrar.CountBundles(ctx, who)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &bundlev1.CountBundlesResponse{Count: int32(count)}, nil
}

func (s bundles) GetBundle(ctx context.Context, req *bundlev1.GetBundleRequest) (*types.Bundle, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	own, authorities, err := s.registrar.OwnBundleAndAuthorities(ctx, who)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return writeOwnBundle(own, authorities, req.OutputMask), nil
}

func (s bundles) ListFederatedBundles(ctx context.Context, req *bundlev1.ListFederatedBundlesRequest) (*bundlev1.ListFederatedBundlesResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	list, err := s.registrar.Bundles(ctx, who, registrar.Page{Size: int(req.PageSize), Token: req.PageToken})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	resp := &bundlev1.ListFederatedBundlesResponse{}
	resp.Bundles, resp.NextPageToken = page(list, func(p *federation.Published) *types.Bundle { return writeBundle(p, req.OutputMask) })
	return resp, nil
}

func (s bundles) GetFederatedBundle(ctx context.Context, req *bundlev1.GetFederatedBundleRequest) (*types.Bundle, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	td, err := readDomain("trust_domain", req.TrustDomain)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	held, err := s.registrar.Bundle(ctx, who, td)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return writeBundle(held, req.OutputMask), nil
}

// PublishWITAuthority waits for WIT-SVIDs.
func (s bundles) PublishWITAuthority(context.Context, *bundlev1.PublishWITAuthorityRequest) (*bundlev1.PublishWITAuthorityResponse, error) {
	return nil, later("PublishWITAuthority")
}

// PublishJWTAuthority is for downstream servers, which cannot attest yet.
func (s bundles) PublishJWTAuthority(context.Context, *bundlev1.PublishJWTAuthorityRequest) (*bundlev1.PublishJWTAuthorityResponse, error) {
	return nil, later("PublishJWTAuthority")
}

// AppendBundle publishes keys that the cluster does not hold. WIT authorities
// are not looked at.
func (s bundles) AppendBundle(ctx context.Context, req *bundlev1.AppendBundleRequest) (*types.Bundle, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	request, err := readAppendBundle(req)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	if _, err := s.registrar.AppendBundle(ctx, who, request); err != nil {
		return nil, s.err(ctx, err)
	}
	own, authorities, err := s.registrar.OwnBundleAndAuthorities(ctx, who)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return writeOwnBundle(own, authorities, req.OutputMask), nil
}
