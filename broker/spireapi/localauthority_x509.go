package spireapi

import (
	"context"

	localauthorityv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/localauthority/v1"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
)

func (s localAuthorities) GetX509AuthorityState(ctx context.Context, _ *localauthorityv1.GetX509AuthorityStateRequest) (*localauthorityv1.GetX509AuthorityStateResponse, error) {
	active, prepared, old, err := s.state(ctx, ca.X509)
	if err != nil {
		return nil, err
	}
	return &localauthorityv1.GetX509AuthorityStateResponse{Active: active, Prepared: prepared, Old: old}, nil
}

func (s localAuthorities) PrepareX509Authority(ctx context.Context, _ *localauthorityv1.PrepareX509AuthorityRequest) (*localauthorityv1.PrepareX509AuthorityResponse, error) {
	a, err := s.prepare(ctx, ca.X509)
	if err != nil {
		return nil, err
	}
	return &localauthorityv1.PrepareX509AuthorityResponse{PreparedAuthority: a}, nil
}

func (s localAuthorities) ActivateX509Authority(ctx context.Context, req *localauthorityv1.ActivateX509AuthorityRequest) (*localauthorityv1.ActivateX509AuthorityResponse, error) {
	a, err := s.activate(ctx, ca.X509, req.AuthorityId)
	if err != nil {
		return nil, err
	}
	return &localauthorityv1.ActivateX509AuthorityResponse{ActivatedAuthority: a}, nil
}

func (s localAuthorities) TaintX509Authority(ctx context.Context, req *localauthorityv1.TaintX509AuthorityRequest) (*localauthorityv1.TaintX509AuthorityResponse, error) {
	a, err := s.taint(ctx, ca.X509, req.AuthorityId)
	if err != nil {
		return nil, err
	}
	return &localauthorityv1.TaintX509AuthorityResponse{TaintedAuthority: a}, nil
}

func (s localAuthorities) RevokeX509Authority(ctx context.Context, req *localauthorityv1.RevokeX509AuthorityRequest) (*localauthorityv1.RevokeX509AuthorityResponse, error) {
	a, err := s.revoke(ctx, ca.X509, req.AuthorityId)
	if err != nil {
		return nil, err
	}
	return &localauthorityv1.RevokeX509AuthorityResponse{RevokedAuthority: a}, nil
}

func (s localAuthorities) TaintX509UpstreamAuthority(ctx context.Context, _ *localauthorityv1.TaintX509UpstreamAuthorityRequest) (*localauthorityv1.TaintX509UpstreamAuthorityResponse, error) {
	return nil, s.noUpstream(ctx)
}

func (s localAuthorities) RevokeX509UpstreamAuthority(ctx context.Context, _ *localauthorityv1.RevokeX509UpstreamAuthorityRequest) (*localauthorityv1.RevokeX509UpstreamAuthorityResponse, error) {
	return nil, s.noUpstream(ctx)
}

// noUpstream answers as SPIRE does where no upstream authority is configured.
func (s localAuthorities) noUpstream(ctx context.Context) error {
	who, err := s.caller(ctx)
	if err != nil {
		return err
	}
	if _, err := s.registrar.Authorities(ctx, who, ca.X509); err != nil {
		return s.err(ctx, err)
	}
	return s.err(ctx, broker.Refuse(broker.FailedPrecondition, "no upstream authority is configured: the domain's own authorities sign"))
}
