package fetch

import (
	"bytes"
	"context"
	"math/rand/v2"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

// startGap is how far apart on average the first polls of relationships are
// that are found together: 10,000 handshakes at once would starve the rest of
// the node.
const startGap = 5 * time.Millisecond

// follow starts, replaces and stops pollers after a change. It waits for none
// of them: a peer that hangs delays nothing here.
func (p *Pool) follow(change Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil || p.running.Err() != nil {
		return
	}
	view := p.ledger.View()
	if change.Everything {
		p.followAll(view)
		return
	}
	var wanted []federation.Relationship
	for _, td := range change.Relationships {
		if r, ok := view.Relationship(td); ok {
			wanted = append(wanted, r)
		} else {
			p.stop(td)
		}
	}
	p.start(view, wanted)
	for _, td := range change.Bundles {
		p.rouse(td)
	}
}

func (p *Pool) followAll(view View) {
	wanted := view.Relationships()
	kept := make(map[spiffeid.TrustDomain]struct{}, len(wanted))
	for _, r := range wanted {
		kept[r.TrustDomain] = struct{}{}
	}
	for td := range p.pollers {
		if _, ok := kept[td]; !ok {
			p.stop(td)
		}
	}
	p.start(view, wanted)
	for td := range p.anchored {
		p.rouse(td)
	}
}

// start lets those of wanted be polled that are not yet, or not as they are now.
func (p *Pool) start(view View, wanted []federation.Relationship) {
	var fresh []federation.Relationship
	for _, r := range wanted {
		if old := p.pollers[r.TrustDomain]; old == nil || !sameRelationship(old.relationship, r) {
			fresh = append(fresh, r)
		}
	}
	for _, r := range fresh {
		p.stop(r.TrustDomain)
		ctx, cancel := context.WithCancel(p.running)
		q := newPoller(p, r, cancel)
		p.pollers[r.TrustDomain] = q
		if td := r.EndpointID.TrustDomain(); !td.IsZero() {
			if p.anchored[td] == nil {
				p.anchored[td] = map[*poller]struct{}{}
			}
			p.anchored[td][q] = struct{}{}
		}
		spread := min(time.Duration(len(fresh)-1)*startGap, bundleOf(view.Bundle(r.TrustDomain)).PollInterval())
		first := time.Duration(rand.Int64N(int64(spread) + 1))
		p.working.Go(func() { q.run(ctx, first) })
	}
}

// stop ends td's poller, if there is one.
func (p *Pool) stop(td spiffeid.TrustDomain) {
	q := p.pollers[td]
	if q == nil {
		return
	}
	q.cancel()
	delete(p.pollers, td)
	anchor := q.relationship.EndpointID.TrustDomain()
	delete(p.anchored[anchor], q)
	if len(p.anchored[anchor]) == 0 {
		delete(p.anchored, anchor)
	}
}

// rouse tells those whose endpoint td's bundle authenticates that it changed.
func (p *Pool) rouse(td spiffeid.TrustDomain) {
	for q := range p.anchored[td] {
		q.rouse()
	}
}

func sameRelationship(a, b federation.Relationship) bool {
	return a.TrustDomain == b.TrustDomain && a.URL == b.URL && a.Profile == b.Profile && a.EndpointID == b.EndpointID &&
		bytes.Equal(a.Roots, b.Roots) && a.CreatedAt.Equal(b.CreatedAt) && a.Revision == b.Revision
}

// bundleOf returns the bundle of a Published that may be nil.
func bundleOf(p *federation.Published) *federation.Bundle {
	if p == nil {
		return nil
	}
	return p.Bundle
}
