package spireapi

import (
	"context"

	localauthorityv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/localauthority/v1"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/ca"
)

// localAuthorities is spire.api.server.localauthority.v1.LocalAuthority. The
// authorities are the domain's, whichever node is asked.
type localAuthorities struct {
	localauthorityv1.UnsafeLocalAuthorityServer
	desk
}

// authorityState is what the API shows of an authority; nil shows nothing.
func authorityState(a *ca.Authority) *localauthorityv1.AuthorityState {
	if a == nil {
		return nil
	}
	return &localauthorityv1.AuthorityState{AuthorityId: a.ID, ExpiresAt: writeTime(a.NotAfter)}
}

// state finds the active authority of a use, the prepared one, and the newest
// of the old ones.
func (s localAuthorities) state(ctx context.Context, use ca.Use) (active, prepared, old *localauthorityv1.AuthorityState, err error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	authorities, err := s.registrar.Authorities(ctx, who, use)
	if err != nil {
		return nil, nil, nil, s.err(ctx, err)
	}
	var newest *ca.Authority
	for i := range authorities {
		switch a := &authorities[i]; a.Status {
		case ca.Active:
			active = authorityState(a)
		case ca.Prepared:
			prepared = authorityState(a)
		case ca.Old:
			if newest == nil || a.OldAt.After(newest.OldAt) {
				newest, old = a, authorityState(a)
			}
		}
	}
	if active == nil {
		return nil, nil, nil, s.err(ctx, broker.Refuse(broker.Unavailable, "the trust domain is not set up yet: wait until the node is ready and try again"))
	}
	return active, prepared, old, nil
}

// prepare returns the authority that is prepared. Concord always prepares the
// next one by itself, so it is mostly there already.
func (s localAuthorities) prepare(ctx context.Context, use ca.Use) (*localauthorityv1.AuthorityState, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.PrepareAuthority(ctx, who, registrar.PrepareAuthority{Use: use})
	if broker.CodeOf(err) == broker.FailedPrecondition && out.Before != nil {
		return authorityState(out.Before), nil
	}
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return authorityState(out.After), nil
}

func (s localAuthorities) activate(ctx context.Context, use ca.Use, id string) (*localauthorityv1.AuthorityState, error) {
	who, _, err := s.pick(ctx, use, id)
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.ActivateAuthority(ctx, who, registrar.ChangeAuthority{Use: use, ID: id}, false)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return authorityState(out.After), nil
}

func (s localAuthorities) taint(ctx context.Context, use ca.Use, id string) (*localauthorityv1.AuthorityState, error) {
	who, _, err := s.pickOld(ctx, use, id)
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.TaintAuthority(ctx, who, registrar.ChangeAuthority{Use: use, ID: id})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return authorityState(out.After), nil
}

// revoke takes an old authority out of the bundle. It must be tainted before,
// so that what it signed has been replaced.
func (s localAuthorities) revoke(ctx context.Context, use ca.Use, id string) (*localauthorityv1.AuthorityState, error) {
	who, a, err := s.pickOld(ctx, use, id)
	if err != nil {
		return nil, err
	}
	if !a.Tainted {
		return nil, s.err(ctx, broker.Refuse(broker.FailedPrecondition, "%s authority %s is not tainted: taint it first, so that what it signed is replaced", use, id))
	}
	out, err := s.registrar.RemoveAuthority(ctx, who, registrar.ChangeAuthority{Use: use, ID: id}, true)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return authorityState(out.Before), nil
}

// pickOld picks an authority that is to be tainted or revoked.
func (s localAuthorities) pickOld(ctx context.Context, use ca.Use, id string) (broker.Caller, ca.Authority, error) {
	who, a, err := s.pick(ctx, use, id)
	if err == nil && a.Status != ca.Old {
		err = s.err(ctx, broker.Refuse(broker.InvalidArgument, "%s authority %s is %s: only an old one can be tainted or revoked; activate another first", use, id, a.Status))
	}
	return who, a, err
}

// pick finds the caller and the authority that they mean. One that there is
// not is an invalid argument in this API.
func (s localAuthorities) pick(ctx context.Context, use ca.Use, id string) (broker.Caller, ca.Authority, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return who, ca.Authority{}, err
	}
	if id == "" {
		return who, ca.Authority{}, s.err(ctx, broker.Refuse(broker.InvalidArgument, "authority_id is missing: say which authority"))
	}
	authorities, err := s.registrar.Authorities(ctx, who, use)
	if err != nil {
		return who, ca.Authority{}, s.err(ctx, err)
	}
	for _, a := range authorities {
		if a.ID == id {
			return who, a, nil
		}
	}
	return who, ca.Authority{}, s.err(ctx, broker.Refuse(broker.InvalidArgument, "there is no %s authority %.80q", use, id))
}
