package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/fetch"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/grant"
)

// truth is the replicated state as the machines of other folders want it: each
// sees as much of a View as its own words name.
type truth struct {
	replica      *replica.Replica
	agent        spiffeid.ID // this node's embedded agent
	maxStaleness time.Duration
}

// fresh is nil while this node may speak for the domain: it knows it, has heard
// a leader, and that is not too long ago (DESIGN §2.6).
func (t truth) fresh() error {
	since, heard := t.replica.Staleness()
	if !heard {
		return fmt.Errorf("this node has heard no leader since it started: %w", ca.ErrNotReady)
	}
	if since > t.maxStaleness {
		return fmt.Errorf("this node has not heard a leader for %s, the limit is %s: %w", since.Round(time.Second), t.maxStaleness, ca.ErrNotReady)
	}
	if _, ok := t.replica.View().Domain(); !ok {
		return fmt.Errorf("the trust domain is being set up: %w", ca.ErrNotReady)
	}
	return nil
}

// Ledger is the newest cut as workloads of this host may hear of it.
func (t truth) Ledger() (grant.Ledger, error) {
	if err := t.fresh(); err != nil {
		return nil, err
	}
	view := t.replica.View()
	domain, _ := view.Domain()
	agent, ok := view.Agent(t.agent)
	if !ok {
		return nil, fmt.Errorf("this node's agent is not registered yet: %w", ca.ErrNotReady)
	}
	return cut{view: view, domain: domain, agent: agent}, nil
}

// cut is one View for grants.
type cut struct {
	view   *state.View
	domain state.Domain
	agent  state.Agent
}

func (c cut) Index() uint64                     { return c.view.Index() }
func (c cut) TrustDomain() spiffeid.TrustDomain { return c.domain.TrustDomain }
func (c cut) Own() *federation.Published        { return c.view.Own() }
func (c cut) TTLs() (x509, jwt time.Duration) {
	return c.domain.Settings.X509TTL, c.domain.Settings.JWTTTL
}
func (c cut) EntriesFor(selectors []attest.Selector) []*workload.Entry {
	if c.agent.Banned {
		return nil
	}
	return c.view.EntriesFor(c.agent, selectors)
}
func (c cut) Foreign(td spiffeid.TrustDomain) *federation.Published { return c.view.Foreign(td) }

// granted is what a Change means to grants.
func granted(c state.Change) grant.Change {
	return grant.Change{
		Everything: c.Everything,
		Own:        c.Own,
		Entries:    c.AnyEntry() || c.Agents || c.Settings,
		Bundles:    c.Bundles,
	}
}

// followGrants tells grants of every change until ctx ends.
func (t truth) followGrants(ctx context.Context, grants *grant.Grants) error {
	watcher := t.replica.Feed().Watch()
	for {
		_, change, err := watcher.Wait(ctx)
		if err != nil {
			return err
		}
		grants.Changed(granted(change))
	}
}

// signer signs with what the issuer has, now.
type signer struct{ n *Node }

func (s signer) X509SVID(r ca.X509Request) (ca.X509SVID, error) {
	if err := s.n.truth.fresh(); err != nil {
		return ca.X509SVID{}, err
	}
	return s.n.x509SVID(r)
}

func (s signer) JWTSVID(r ca.JWTRequest) (ca.JWTSVID, error) {
	if err := s.n.truth.fresh(); err != nil {
		return ca.JWTSVID{}, err
	}
	return s.n.jwtSVID(r)
}

// peers is the truth as this node's pollers want it: the relationships are those
// that this member follows.
type peers struct {
	truth
	me raft.ServerID
}

func (p peers) View() fetch.View { return peerView{p.replica.View(), p.me} }

func (p peers) Watch() fetch.Watcher {
	w := &peerWatcher{feed: p.replica.Feed().Watch()}
	// The first Wait of a feed's watcher is for the View that there is already.
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := w.feed.Wait(now); err != nil && !errors.Is(err, context.Canceled) {
		w.err = err
	}
	return w
}

type peerWatcher struct {
	feed interface {
		Wait(context.Context) (*state.View, state.Change, error)
	}
	err error
}

func (w *peerWatcher) Wait(ctx context.Context) (fetch.Change, error) {
	if w.err != nil {
		return fetch.Change{}, w.err
	}
	view, c, err := w.feed.Wait(ctx)
	if err != nil {
		return fetch.Change{}, err
	}
	out := fetch.Change{Everything: c.Everything || c.Duties || c.Members, Relationships: c.Relationships, Bundles: c.Bundles}
	if domain, ok := view.Domain(); ok && c.Own {
		out.Bundles = append(slices.Clone(out.Bundles), domain.TrustDomain)
	}
	return out, nil
}

// Close has nothing to give back: a feed's watcher holds nothing.
func (w *peerWatcher) Close() {}

// peerView is one View for the pollers of one member.
type peerView struct {
	view *state.View
	me   raft.ServerID
}

func (v peerView) mine(td spiffeid.TrustDomain) bool { return follower(v.view, td) == v.me }

func (v peerView) TrustDomain() spiffeid.TrustDomain {
	domain, _ := v.view.Domain()
	return domain.TrustDomain
}

func (v peerView) Relationships() []federation.Relationship {
	var mine []federation.Relationship
	for r := range v.view.Relationships() {
		if v.mine(r.TrustDomain) {
			mine = append(mine, r)
		}
	}
	return mine
}

func (v peerView) Relationship(td spiffeid.TrustDomain) (federation.Relationship, bool) {
	if !v.mine(td) {
		return federation.Relationship{}, false
	}
	return v.view.Relationship(td)
}

func (v peerView) Bundle(td spiffeid.TrustDomain) *federation.Published {
	if td == v.TrustDomain() {
		return v.view.Own()
	}
	return v.view.Foreign(td)
}

func (v peerView) Holder(key federation.KeyHash) (spiffeid.TrustDomain, bool) {
	return v.view.Holder(key)
}
