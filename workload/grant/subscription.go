package grant

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/workload"
)

// view is everybody on whom the same selectors were observed.
type view struct {
	key       string
	selectors []attest.Selector
	seat      atomic.Pointer[seat]

	// The rest is guarded by Grants.mu.
	holders int
	index   uint64    // of the Ledger that seat was chosen by
	until   time.Time // the first end among its entries; zero: none ends
}

// seat is where a view sits until its entries change.
type seat struct {
	subject *subject
	refused error         // if subject is nil: why
	left    chan struct{} // closed when the view sits elsewhere
}

// Subscription is one stream's claim on what its selectors are entitled to. It
// is used by one goroutine, and closed.
type Subscription struct {
	grants *Grants
	view   *view
	kind   Kind
	last   *Message
}

// Subscribe begins a stream for a workload on which selectors were observed;
// they are sorted. It fails with ErrNoIdentity if no entry matches, and with
// the Source's error.
func (g *Grants) Subscribe(selectors []attest.Selector, kind Kind) (*Subscription, error) {
	key := viewKey(selectors)
	g.mu.Lock()
	defer g.mu.Unlock()
	l, err := g.ledger()
	if err != nil {
		return nil, err
	}
	v := g.views[key]
	if v == nil {
		v = &view{key: key, selectors: slices.Clone(selectors)}
		v.seat.Store(&seat{left: make(chan struct{})})
	}
	if v.seat.Load().subject == nil || v.index < l.Index() || v.ended(time.Now()) {
		g.choose(v, l)
	}
	at := v.seat.Load()
	if at.subject == nil {
		return nil, at.refused
	}
	if at.subject.index < l.Index() {
		g.refresh(at.subject, l)
	}
	g.views[key] = v
	v.holders++
	return &Subscription{grants: g, view: v, kind: kind}, nil
}

// Next returns the stream's next message: the first at once, each later one
// when it differs from the one before. It fails with ErrNoIdentity when the
// last of the entries has gone, with ca.ErrNotReady in the chain if there is no
// SVID that is still valid and none can be signed, and with ctx's error.
func (s *Subscription) Next(ctx context.Context) (*Message, error) {
	for {
		at := s.view.seat.Load()
		if at.subject == nil {
			return nil, at.refused
		}
		m, u, err := s.grants.message(ctx, at.subject, s.kind)
		if s.view.seat.Load() != at {
			continue // the answer is of entries that are no longer right
		}
		if err != nil {
			return nil, err
		}
		if !m.Equal(s.last) {
			s.last = m
			return m, nil
		}
		s.last = m
		select {
		case <-u.replaced:
		case <-at.left:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the claim.
func (s *Subscription) Close() {
	g := s.grants
	g.mu.Lock()
	defer g.mu.Unlock()
	s.view.holders--
	if s.view.holders > 0 {
		return
	}
	delete(g.views, s.view.key)
	if at := s.view.seat.Load(); at.subject != nil {
		g.release(at.subject, true)
	}
}

// choose gives v the seat that its selectors are entitled to in l. Grants.mu is held.
func (g *Grants) choose(v *view, l Ledger) {
	matched := entries(l, v.selectors, time.Now())
	v.index, v.until = l.Index(), firstEnd(matched)
	if len(matched) == 0 {
		g.sit(v, nil, ErrNoIdentity)
		return
	}
	if s := v.seat.Load().subject; s == nil || !slices.Equal(s.entries, matched) {
		g.sit(v, g.subject(matched, l), nil)
	}
}

// sit moves v to s, or to nowhere for a reason, and wakes its streams.
// Grants.mu is held.
func (g *Grants) sit(v *view, s *subject, refused error) {
	if s != nil {
		s.views++
	}
	before := v.seat.Swap(&seat{subject: s, refused: refused, left: make(chan struct{})})
	if before.subject != nil {
		g.release(before.subject, false)
	}
	close(before.left)
}

// ended reports whether one of v's entries has ended. Grants.mu is held.
func (v *view) ended(now time.Time) bool {
	return !v.until.IsZero() && !now.Before(v.until)
}

// firstEnd is the first moment at which one of the entries ends.
func firstEnd(entries []*workload.Entry) time.Time {
	var first time.Time
	for _, e := range entries {
		if !e.ExpiresAt.IsZero() && (first.IsZero() || e.ExpiresAt.Before(first)) {
			first = e.ExpiresAt
		}
	}
	return first
}

// viewKey is equal for equal selectors, and for no others: each is written
// with its length.
func viewKey(selectors []attest.Selector) string {
	var key strings.Builder
	for _, s := range selectors {
		for _, part := range [...]string{s.Type, s.Value} {
			key.WriteString(strconv.Itoa(len(part)))
			key.WriteByte(':')
			key.WriteString(part)
		}
	}
	return key.String()
}
