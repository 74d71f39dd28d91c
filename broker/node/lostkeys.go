package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/keys"
)

// lostKeyRetry is how long to rest after a step that failed.
const lostKeyRetry = time.Second

// replaceLost gives the domain new authorities after a start whose key manager
// has lost the keys (key-manager: memory, then or now). They are published like any other
// and sign after the publication window: until then this node issues nothing
// and says so in /ready.
func (n *Node) replaceLost(ctx context.Context) {
	ledger := n.authorities()
	for ctx.Err() == nil {
		wake := time.Time{}
		for _, use := range []ca.Use{ca.X509, ca.JWT} {
			next, err := n.replaceLostOf(ctx, ledger, use)
			if err != nil && ctx.Err() == nil {
				n.log.Warn("a lost key could not be replaced yet", "use", use, "error", err)
				next = time.Now().Add(lostKeyRetry)
			}
			if !next.IsZero() && (wake.IsZero() || next.Before(wake)) {
				wake = next
			}
		}
		if wake.IsZero() {
			return // every active key is at hand; only a restart can lose it again
		}
		waiting, cancel := context.WithDeadline(ctx, wake)
		ledger.Wait(waiting)
		cancel()
	}
}

// replaceLostOf takes the next step for one use; it returns when to look again,
// zero if nothing is lost.
func (n *Node) replaceLostOf(ctx context.Context, ledger *authorities, use ca.Use) (time.Time, error) {
	var active, prepared *ca.Authority
	for _, a := range ledger.Authorities(use) {
		switch a.Status {
		case ca.Active:
			active = &a
		case ca.Prepared:
			prepared = &a
		}
	}
	if active == nil || !n.lost(*active) {
		return time.Time{}, nil
	}
	const cause = "the key of the authority before it was lost with its process"
	now := time.Now()
	switch {
	case prepared != nil && n.lost(*prepared):
		_, err := n.replica.Propose(ctx, n.act(cause), state.TaintAuthority{Use: use, ID: prepared.ID})
		if err == nil {
			_, err = n.replica.Propose(ctx, n.act(cause), state.RemoveAuthority{Use: use, ID: prepared.ID, Revoke: true})
		}
		return now, err
	case prepared == nil:
		a, err := n.domain.NewAuthority(use, ledger.Terms().AuthorityTTL, now)
		if err != nil {
			return now, fmt.Errorf("make a key: %w", err)
		}
		_, err = n.replica.Propose(ctx, n.act(cause), state.PrepareAuthority{Authority: a})
		return now, err
	}
	terms := ledger.Terms()
	if earliest := ca.Earliest(*prepared, terms.Window); now.Before(earliest) {
		return earliest, nil
	}
	_, err := n.replica.Propose(ctx, n.act(cause), state.ActivateAuthority{Use: use, ID: prepared.ID, VouchFor: terms.VouchFor(use)})
	return now, err
}

// lost reports whether the key manager has no key for a any more.
func (n *Node) lost(a ca.Authority) bool {
	_, err := n.domain.Open(a)
	return errors.Is(err, keys.ErrKeyLost)
}
