package grant

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// watch looks at what changed, each time that Changed was called.
func (g *Grants) watch(ctx context.Context) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.doorbell:
		case <-again:
		}
		err := g.catchUp()
		if err != nil && again == nil {
			g.log.Warn("streams keep what they have until this node may speak again", "error", err)
		}
		again = nil
		if err != nil {
			again = time.After(catchUpAgain)
		}
	}
}

// catchUpAgain is how long a change waits for a Source that was not ready.
const catchUpAgain = time.Second

// catchUp brings every stream that a pending change concerns to the newest cut.
// Nothing is signed here: that a bundle or an entry goes is never late because
// another must be made.
func (g *Grants) catchUp() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.pending
	g.pending = Change{}
	if c.Signing {
		g.epoch.Add(1)
		ring(g.alarm)
	}
	l, err := g.ledger()
	if err != nil {
		g.pending = g.pending.merge(Change{Everything: true})
		return err
	}
	if c.Entries || c.Everything {
		for _, v := range g.views {
			g.choose(v, l)
		}
		ring(g.alarm) // an entry may end earlier than any known before
	}
	for _, s := range g.subjects {
		if c.Everything || c.Own || s.federatesWithAny(c.Bundles) {
			g.refresh(s, l)
		}
	}
	for _, td := range c.Bundles {
		g.bundles.drop(td, l.Foreign(td))
	}
	return nil
}

func (s *subject) federatesWithAny(domains []spiffeid.TrustDomain) bool {
	return slices.ContainsFunc(domains, func(td spiffeid.TrustDomain) bool {
		_, found := slices.BinarySearchFunc(s.federates, td, spiffeid.TrustDomain.Compare)
		return found
	})
}

// keepTime renews SVIDs and ends entries when it is time.
func (g *Grants) keepTime(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.alarm:
		case <-timer.C:
		}
		g.endEntries()
		g.renewDue(ctx)
		timer.Reset(g.untilNext())
	}
}

// expect makes sure that the time keeper wakes for s.
func (g *Grants) expect(s *svid) {
	g.mu.Lock()
	earlier := s.renewAt.Before(g.wakeAt) || s.epoch != g.epoch.Load()
	g.mu.Unlock()
	if earlier {
		ring(g.alarm)
	}
}

// longestWait bounds how long the time keeper sleeps: an hour of a stopped
// clock is found out.
const longestWait = time.Minute

// untilNext is how long nothing is due.
func (g *Grants) untilNext() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := time.Now().Add(longestWait)
	epoch := g.epoch.Load()
	for _, id := range g.identities {
		if at, ok := id.due(epoch); ok && at.Before(next) {
			next = at
		}
	}
	for _, v := range g.views {
		if !v.until.IsZero() && v.until.Before(next) {
			next = v.until
		}
	}
	g.wakeAt = next
	return time.Until(next)
}

// renewDue renews what is due, the most overdue first, and not more than a
// batch: the rest is still due when the time keeper looks next. What nobody
// holds any more is forgotten instead.
func (g *Grants) renewDue(ctx context.Context) {
	now := time.Now()
	var due []dueIdentity
	g.mu.Lock()
	epoch := g.epoch.Load()
	for _, id := range g.identities {
		at, ok := id.due(epoch)
		switch {
		case !ok || now.Before(at):
		case len(id.subjects) == 0:
			g.forget(id)
		default:
			due = append(due, dueIdentity{id, at})
		}
	}
	g.mu.Unlock()
	if len(due) > 0 {
		slices.SortFunc(due, func(a, b dueIdentity) int { return a.at.Compare(b.at) })
		g.renewAll(ctx, due[:min(len(due), renewalBatch)])
	}
}

type dueIdentity struct {
	*identity
	at time.Time
}

// renewalBatch is how many SVIDs are signed before their streams hear of them:
// few enough that the first do not wait for the last, many enough that a stream
// with several SVIDs hears of them together.
const renewalBatch = 64

// renewAll renews the batch side by side and tells the streams.
func (g *Grants) renewAll(ctx context.Context, batch []dueIdentity) {
	errs := make([]error, len(batch))
	var signing sync.WaitGroup
	for i, id := range batch {
		signing.Go(func() { errs[i] = g.renew(ctx, id.identity) })
	}
	signing.Wait()
	if ctx.Err() != nil {
		return
	}
	if err := cmp.Or(errs...); err != nil {
		g.log.Warn("X.509-SVIDs could not be renewed; workloads keep those that they have until they end, and it is tried again",
			"batch", len(errs), "error", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	concerned := make(map[*subject]struct{})
	for i, id := range batch {
		if id.settle(errs[i]) {
			for s := range id.subjects {
				concerned[s] = struct{}{}
			}
		}
	}
	for s := range concerned {
		g.reissue(s)
	}
}

// settle notes how id's renewal went, and reports whether its streams must
// hear of it: there is a new SVID, or the old one has ended. Grants.mu is held.
func (id *identity) settle(err error) bool {
	if err == nil {
		id.retryAt, id.failures = time.Time{}, 0
		return true
	}
	now, ends := time.Now(), id.svid.Load().notAfter
	wait := min(firstRetry<<min(id.failures, 10), lastRetry)
	id.failures++
	id.retryAt = now.Add(wait/2 + rand.N(wait/2))
	if now.Before(ends) && ends.Before(id.retryAt) {
		id.retryAt = ends
	}
	return !now.Before(ends)
}

// A failed renewal is tried again after about firstRetry, then after twice as
// long each time, up to lastRetry.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// endEntries takes the entries that have ended from those who had them. Without
// a Ledger it is not known what they have instead: their streams end.
func (g *Grants) endEntries() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for _, v := range g.views {
		if !v.ended(now) {
			continue
		}
		l, err := g.ledger()
		if err != nil {
			v.until = time.Time{}
			g.sit(v, nil, err)
			continue
		}
		g.choose(v, l)
	}
}
