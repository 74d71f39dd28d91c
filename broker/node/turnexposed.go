package node

import (
	"context"
	"fmt"
	"time"

	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// causeExposed is why authorities are replaced, in the audit trail.
const causeExposed = "a compromised member could open this authority"

// turnExposed takes the next step to replace the authorities that a compromised
// member could open, of each use, and says when to look again.
func (n *Node) turnExposed(ctx context.Context, view *state.View) (time.Time, error) {
	var wake time.Time
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		step, wait, err := n.turnOf(view, use)
		if err != nil {
			return time.Now().Add(keyCareRetry), fmt.Errorf("replace the exposed %s authority: %w", use, err)
		}
		if step != nil {
			ctx, cancel := context.WithTimeout(ctx, proposalTime)
			defer cancel()
			_, err := n.replica.Propose(ctx, n.act(causeExposed), step)
			return n.stepDone(err)
		}
		if !wait.IsZero() && (wake.IsZero() || wait.Before(wake)) {
			wake = wait
		}
	}
	return wake, nil
}

// turnOf returns the next step for one use: nil if there is none, or none before
// the time that it returns.
func (n *Node) turnOf(view *state.View, use ca.Use) (state.Command, time.Time, error) {
	var active, prepared *ca.Authority
	for _, a := range view.Authorities(use) {
		switch {
		case a.Status == ca.Active:
			active = &a
		case view.Exposed(a) && !a.Tainted: // prepared, or old by now
			return state.TaintAuthority{Use: use, ID: a.ID}, time.Time{}, nil
		case a.Status == ca.Prepared:
			prepared = &a
		}
	}
	switch {
	case prepared != nil && view.Exposed(*prepared):
		return state.RemoveAuthority{Use: use, ID: prepared.ID, Revoke: true}, time.Time{}, nil
	case active == nil || !view.Exposed(*active):
		return nil, time.Time{}, nil
	case prepared == nil:
		a, err := n.domain.NewAuthority(use, n.authorities().Terms().AuthorityTTL, n.around.now())
		return state.PrepareAuthority{Authority: a}, time.Time{}, err
	}
	return n.takeOver(view, *prepared)
}

// takeOver has an authority sign as soon as everybody can know it, or at once if an
// operator said so.
func (n *Node) takeOver(view *state.View, next ca.Authority) (state.Command, time.Time, error) {
	terms := n.authorities().Terms()
	step := state.ActivateAuthority{Use: next.Use, ID: next.ID, Force: view.TurnAtOnce(), VouchFor: terms.VouchFor(next.Use)}
	if step.Force {
		return step, time.Time{}, nil
	}
	if earliest := ca.Earliest(next, terms.Window); n.around.now().Before(earliest) {
		return nil, earliest, nil
	}
	all := company{n}
	if err := all.ClocksAgree(); err != nil {
		return nil, time.Time{}, err
	}
	if err := all.Spread(next); err != nil {
		return nil, time.Time{}, err
	}
	return step, time.Time{}, nil
}
