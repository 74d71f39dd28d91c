package rotate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/rotate"
)

const day = 24 * time.Hour

var errRefused = errors.New("refused")

// domain is the committed truth of a test, with the rules of the real one, and
// the other members.
type domain struct {
	t       *testing.T
	changed chan struct{} // holds one: the latest value wins

	mu     sync.Mutex
	life   []ca.Authority
	terms  ca.Terms
	made   int
	did    []string // every proposal that was committed, in order
	asked  int      // every proposal, committed or not
	broken error

	// What a test makes go wrong; nil: nothing.
	refuse func(what string) error // before it is committed
	lose   func(what string) error // after it was committed
	clocks error
	spread error
	maker  error
}

// founded has an active and a prepared authority of each use.
func founded(t *testing.T) *domain {
	d := &domain{
		t: t, changed: make(chan struct{}, 1),
		terms: ca.Terms{Window: -1, AuthorityTTL: 90 * day, IntermediateTTL: day, JWTTTL: 5 * time.Minute, Staleness: 10 * time.Minute},
	}
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		active := d.make(use, d.terms.AuthorityTTL, time.Now())
		active.Status, active.ActivatedAt = ca.Active, time.Now()
		d.life = append(d.life, active, d.make(use, d.terms.AuthorityTTL, time.Now()))
	}
	return d
}

func (d *domain) make(use ca.Use, ttl time.Duration, now time.Time) ca.Authority {
	d.made++
	return ca.Authority{
		ID: fmt.Sprintf("%s%d", use, d.made), Use: use, Status: ca.Prepared, NotBefore: now, NotAfter: now.Add(ttl),
		PreparedAt: now, LargestHint: time.Minute,
	}
}

func (d *domain) NewAuthority(use ca.Use, ttl time.Duration, now time.Time) (ca.Authority, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.make(use, ttl, now), d.maker
}

func (d *domain) Authorities(use ca.Use) []ca.Authority {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.life), func(a ca.Authority) bool { return a.Use != use })
}

func (d *domain) Terms() ca.Terms {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.terms
}

// Now implements rotate.Cluster.
func (d *domain) Now() time.Time { return time.Now() }

func (d *domain) ClocksAgree() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clocks
}

func (d *domain) Spread(ca.Authority) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.spread
}

func (d *domain) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.changed:
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.broken
	}
}

// with changes something from outside and wakes who waits.
func (d *domain) with(what func(*domain)) {
	d.mu.Lock()
	what(d)
	d.mu.Unlock()
	d.wake()
}

func (d *domain) wake() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// propose commits unless the test makes it go wrong.
func (d *domain) propose(ctx context.Context, what string, commit func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.refuse != nil {
		if err := d.refuse(what); err != nil {
			return err
		}
	}
	if err := commit(); err != nil {
		return err
	}
	d.did = append(d.did, what)
	d.wake()
	if d.lose != nil {
		return d.lose(what)
	}
	return nil
}

func (d *domain) Prepare(ctx context.Context, a ca.Authority) error {
	return d.propose(ctx, "prepare "+a.ID, func() error {
		if d.find(a.Use, ca.Prepared) != nil {
			return fmt.Errorf("there is a prepared one: %w", errRefused)
		}
		a.PreparedAt = time.Now()
		d.life = append(d.life, a)
		return nil
	})
}

func (d *domain) Activate(ctx context.Context, use ca.Use, id string, vouchFor time.Duration) error {
	return d.propose(ctx, "activate "+id, func() error {
		next, active := d.find(use, ca.Prepared), d.find(use, ca.Active)
		if next == nil || next.ID != id || time.Now().Before(ca.Earliest(*next, d.terms.Window)) {
			return fmt.Errorf("inside the window: %w", errRefused)
		}
		active.Status, active.VouchesUntil = ca.Old, time.Now().Add(vouchFor)
		next.Status, next.ActivatedAt = ca.Active, time.Now()
		return nil
	})
}

func (d *domain) Remove(ctx context.Context, use ca.Use, id string, revoke bool) error {
	return d.propose(ctx, "remove "+id, func() error {
		at := slices.IndexFunc(d.life, func(a ca.Authority) bool { return a.Use == use && a.ID == id })
		if at < 0 || d.life[at].Status == ca.Active || !revoke && time.Now().Before(d.life[at].VouchesUntil) {
			return fmt.Errorf("it is still needed: %w", errRefused)
		}
		d.life = slices.Delete(d.life, at, at+1)
		return nil
	})
}

func (d *domain) find(use ca.Use, status ca.Status) *ca.Authority {
	for i := range d.life {
		if d.life[i].Use == use && d.life[i].Status == status {
			return &d.life[i]
		}
	}
	return nil
}

// history is what was committed, and forgets it.
func (d *domain) history() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	did := d.did
	d.did = nil
	return did
}

func (d *domain) proposals() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

// lead turns d's authorities until stop is called, which waits for the end.
func (d *domain) lead() (stop func()) {
	ctx, cancel := context.WithCancel(d.t.Context())
	ended := make(chan error, 1)
	turner := rotate.New(d, d, d, slog.New(slog.DiscardHandler))
	go func() { ended <- turner.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Errorf("Run: %v", err)
		}
	}
}
