package registrar

import (
	"context"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// PrepareAuthority asks for the next authority of a use.
type PrepareAuthority struct {
	Use     ca.Use
	KeyType ca.KeyType // "": that of the active one
	DryRun  bool       // makes no key: After has no ID
}

// PrepareAuthority makes a key and publishes it. It signs nothing before it is
// activated. If one is prepared already it answers FailedPrecondition and
// Before is that one.
func (r *Registrar) PrepareAuthority(ctx context.Context, who broker.Caller, in PrepareAuthority) (Outcome[ca.Authority], error) {
	out := Outcome[ca.Authority]{DryRun: in.DryRun}
	if err := may(who, "prepare authorities", broker.RoleAdmin, broker.RoleNode); err != nil {
		return out, err
	}
	if err := known(in.Use); err != nil {
		return out, err
	}
	view := r.parts.Ledger.View()
	if _, err := r.domain(); err != nil {
		return out, err
	}
	if in.KeyType == "" {
		in.KeyType = activeKeyType(view, in.Use)
	}
	if err := invalid(in.KeyType.Validate()); err != nil {
		return out, err
	}
	// A retry must reach the log, which knows whether the first attempt made the
	// one that waits; a key is not made in vain otherwise.
	if waiting := withStatus(view, in.Use, ca.Prepared); waiting != nil && (who.RequestID == "" || in.DryRun) {
		out.Before = waiting
		return out, broker.Refuse(broker.FailedPrecondition, "%s authority %s is prepared already: activate it first, or taint and revoke it", in.Use, waiting.ID)
	}
	if in.DryRun {
		out.Index = view.Index()
		out.After = &ca.Authority{Use: in.Use, KeyType: in.KeyType, Status: ca.Prepared}
		return out, nil
	}
	return r.publishAuthority(ctx, who, in)
}

// publishAuthority makes a key and proposes it.
func (r *Registrar) publishAuthority(ctx context.Context, who broker.Caller, in PrepareAuthority) (out Outcome[ca.Authority], err error) {
	act, err := act(who, "prepare authority", in.Use, in.KeyType)
	if err != nil {
		return out, err
	}
	made, err := r.parts.Keys.NewAuthority(ctx, in.Use, in.KeyType)
	if err != nil {
		return out, err
	}
	view, index, err := r.carryOut(ctx, act, state.PrepareAuthority{Authority: made}, false)
	out.Index = index
	if broker.CodeOf(err) == broker.FailedPrecondition {
		out.Before = withStatus(view, in.Use, ca.Prepared)
	}
	if err != nil {
		return out, err
	}
	if out.After = authority(view, in.Use, made.ID); out.After == nil {
		out.After = withStatus(view, in.Use, ca.Prepared) // a retry: the first attempt's key is the one that stands
	}
	return out, nil
}

func activeKeyType(view *state.View, use ca.Use) ca.KeyType {
	if active := withStatus(view, use, ca.Active); active != nil {
		return active.KeyType
	}
	return ca.DefaultKeyType
}

// withStatus is the newest authority of a use with a status, nil if there is none.
func withStatus(view *state.View, use ca.Use, status ca.Status) *ca.Authority {
	var newest *ca.Authority
	for _, a := range view.Authorities(use) {
		if a.Status == status {
			newest = shown(a)
		}
	}
	return newest
}

// ChangeAuthority asks for a step in the life of an authority.
type ChangeAuthority struct {
	Use    ca.Use
	ID     string
	DryRun bool
}

// ActivateAuthority makes a prepared authority the one that signs; the one
// before it becomes old and vouches for what it signed. It is refused with
// FailedPrecondition, naming the time, before the publication window is over;
// force does not wait for it.
func (r *Registrar) ActivateAuthority(ctx context.Context, who broker.Caller, in ChangeAuthority, force bool) (Outcome[ca.Authority], error) {
	return r.changeAuthority(ctx, who, "activate", in, force, func(view *state.View) state.Command {
		vouch := Terms(view, r.parts.Staleness).VouchFor(in.Use)
		return state.ActivateAuthority{Use: in.Use, ID: in.ID, Force: force, VouchFor: vouch}
	})
}

// TaintAuthority says that the key of a prepared or old authority may be in
// other hands: everything that it signed is replaced at once. The active one
// is refused with InvalidArgument: activate another first.
func (r *Registrar) TaintAuthority(ctx context.Context, who broker.Caller, in ChangeAuthority) (Outcome[ca.Authority], error) {
	return r.changeAuthority(ctx, who, "taint", in, nil, func(*state.View) state.Command {
		return state.TaintAuthority{Use: in.Use, ID: in.ID}
	})
}

// RemoveAuthority takes an authority out of the bundle: one that no SVID needs
// any more, or with revoke an old or tainted one before its time. What it
// signed is not accepted any more from then on. After is nil.
func (r *Registrar) RemoveAuthority(ctx context.Context, who broker.Caller, in ChangeAuthority, revoke bool) (Outcome[ca.Authority], error) {
	return r.changeAuthority(ctx, who, "remove", in, revoke, func(*state.View) state.Command {
		return state.RemoveAuthority{Use: in.Use, ID: in.ID, Revoke: revoke}
	})
}

func (r *Registrar) changeAuthority(ctx context.Context, who broker.Caller, verb string, in ChangeAuthority, flag any, command func(*state.View) state.Command) (Outcome[ca.Authority], error) {
	out := Outcome[ca.Authority]{DryRun: in.DryRun}
	if err := may(who, verb+" authorities", broker.RoleAdmin, broker.RoleNode); err != nil {
		return out, err
	}
	if err := known(in.Use); err != nil {
		return out, err
	}
	if in.ID == "" {
		return out, broker.Refuse(broker.InvalidArgument, "authority ID is missing: say which one to %s", verb)
	}
	if _, err := r.domain(); err != nil {
		return out, err
	}
	act, err := act(who, verb+" authority", in.Use, in.ID, flag)
	if err != nil {
		return out, err
	}
	view := r.parts.Ledger.View()
	out.Before = authority(view, in.Use, in.ID)
	view, out.Index, err = r.carryOut(ctx, act, command(view), in.DryRun)
	if err != nil {
		return out, err
	}
	out.After = authority(view, in.Use, in.ID)
	return out, nil
}
