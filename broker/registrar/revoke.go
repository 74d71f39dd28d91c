package registrar

import (
	"context"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
)

// RevokeAuthority ends an authority whose key may be in other hands, in every
// step that it takes: if it is the active one, the prepared one is activated at
// once; then it is tainted, so that everything that it signed is replaced; then
// it is removed. Each step is a change of its own in the audit trail, and a
// step already taken is not taken again. Steps tells them in order; on an error
// it has those that were taken. A dry run stops at the first step, which the
// others follow from.
func (r *Registrar) RevokeAuthority(ctx context.Context, who broker.Caller, in ChangeAuthority) (steps []Step, err error) {
	if err := may(who, "revoke authorities", broker.RoleAdmin); err != nil {
		return nil, err
	}
	if err := known(in.Use); err != nil {
		return nil, err
	}
	take := func(verb string, out Outcome[ca.Authority], err error) error {
		if err == nil {
			steps = append(steps, Step{Verb: verb, Outcome: out})
		}
		return err
	}
	for {
		view := r.parts.Ledger.View()
		a := authority(view, in.Use, in.ID)
		switch {
		case a == nil:
			out, err := r.RemoveAuthority(ctx, who, in, true)
			return steps, take("remove", out, err)
		case a.Status == ca.Active:
			next := withStatus(view, in.Use, ca.Prepared)
			if next == nil {
				return steps, broker.Refuse(broker.FailedPrecondition, "%s authority %s is the active one and none is prepared to take its place: prepare one first", in.Use, in.ID)
			}
			out, err := r.ActivateAuthority(ctx, who, ChangeAuthority{Use: in.Use, ID: next.ID, DryRun: in.DryRun}, true)
			if err := take("activate", out, err); err != nil || in.DryRun {
				return steps, err
			}
		case !a.Tainted:
			out, err := r.TaintAuthority(ctx, who, in)
			if err := take("taint", out, err); err != nil || in.DryRun {
				return steps, err
			}
		default:
			out, err := r.RemoveAuthority(ctx, who, in, true)
			return steps, take("remove", out, err)
		}
	}
}

// Step is one change on the way of a larger one.
type Step struct {
	Verb string // "activate", "taint" or "remove"
	Outcome[ca.Authority]
}
