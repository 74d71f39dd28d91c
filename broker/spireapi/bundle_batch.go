package spireapi

import (
	"context"

	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
)

func (s bundles) BatchCreateFederatedBundle(ctx context.Context, req *bundlev1.BatchCreateFederatedBundleRequest) (*bundlev1.BatchCreateFederatedBundleResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	results, err := batch(who, req, req.Bundle, ofDomain, func(who broker.Caller, b *types.Bundle) *bundlev1.BatchCreateFederatedBundleResponse_Result {
		set, err := s.set(ctx, who, b, registrar.MustNot, nil, req.OutputMask)
		return &bundlev1.BatchCreateFederatedBundleResponse_Result{Status: s.status(ctx, err), Bundle: set}
	})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &bundlev1.BatchCreateFederatedBundleResponse{Results: results}, nil
}

func (s bundles) BatchUpdateFederatedBundle(ctx context.Context, req *bundlev1.BatchUpdateFederatedBundleRequest) (*bundlev1.BatchUpdateFederatedBundleResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	results, err := batch(who, req, req.Bundle, ofDomain, func(who broker.Caller, b *types.Bundle) *bundlev1.BatchUpdateFederatedBundleResponse_Result {
		set, err := s.set(ctx, who, b, registrar.MustAlready, req.InputMask, req.OutputMask)
		return &bundlev1.BatchUpdateFederatedBundleResponse_Result{Status: s.status(ctx, err), Bundle: set}
	})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &bundlev1.BatchUpdateFederatedBundleResponse{Results: results}, nil
}

func (s bundles) BatchSetFederatedBundle(ctx context.Context, req *bundlev1.BatchSetFederatedBundleRequest) (*bundlev1.BatchSetFederatedBundleResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	results, err := batch(who, req, req.Bundle, ofDomain, func(who broker.Caller, b *types.Bundle) *bundlev1.BatchSetFederatedBundleResponse_Result {
		set, err := s.set(ctx, who, b, registrar.Either, nil, req.OutputMask)
		return &bundlev1.BatchSetFederatedBundleResponse_Result{Status: s.status(ctx, err), Bundle: set}
	})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &bundlev1.BatchSetFederatedBundleResponse{Results: results}, nil
}

func ofDomain(b *types.Bundle) []string { return []string{b.GetTrustDomain()} }

func (s bundles) set(ctx context.Context, who broker.Caller, b *types.Bundle, expect registrar.Exists, in, out *types.BundleMask) (*types.Bundle, error) {
	fields := bundleFields(in)
	bundle, err := readBundle(b, fields)
	if err != nil {
		return nil, err
	}
	if fields == 0 { // a mask that names nothing changes nothing
		held, err := s.registrar.Bundle(ctx, who, bundle.TrustDomain)
		if err != nil {
			return nil, err
		}
		return writeBundle(held, out), nil
	}
	done, err := s.registrar.SetBundle(ctx, who, registrar.SetBundle{Bundle: bundle, Fields: fields, Expect: expect})
	if err != nil {
		return nil, err
	}
	return writeBundle(done.After, out), nil
}

func (s bundles) BatchDeleteFederatedBundle(ctx context.Context, req *bundlev1.BatchDeleteFederatedBundleRequest) (*bundlev1.BatchDeleteFederatedBundleResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	mode, ok := map[bundlev1.BatchDeleteFederatedBundleRequest_Mode]registrar.DeleteMode{
		bundlev1.BatchDeleteFederatedBundleRequest_RESTRICT:   registrar.Restrict,
		bundlev1.BatchDeleteFederatedBundleRequest_DELETE:     registrar.DeleteThem,
		bundlev1.BatchDeleteFederatedBundleRequest_DISSOCIATE: registrar.Dissociate,
	}[req.Mode]
	if !ok {
		return nil, s.err(ctx, broker.Refuse(broker.InvalidArgument, "mode %d is not known: use RESTRICT, DELETE or DISSOCIATE", req.Mode))
	}
	byName := func(name string) []string { return []string{name} }
	results, err := batch(who, req, req.TrustDomains, byName, func(who broker.Caller, name string) *bundlev1.BatchDeleteFederatedBundleResponse_Result {
		td, err := readDomain("trust_domain", name)
		if err == nil {
			_, err = s.registrar.DeleteBundle(ctx, who, registrar.DeleteBundle{TrustDomain: td, Mode: mode})
		}
		return &bundlev1.BatchDeleteFederatedBundleResponse_Result{Status: s.status(ctx, err), TrustDomain: name}
	})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &bundlev1.BatchDeleteFederatedBundleResponse{Results: results}, nil
}
