// Package rotate turns a domain's authorities by age: it prepares the next,
// activates it after it was published for long enough, and removes the old one
// after the last SVID that it vouches for. What is due is decided by ca.Next;
// this package carries it out, one proposal at a time, on the leader only.
//
// It turns nothing while the members' clocks disagree, activates nothing that
// some live member has not published yet, and never touches what a person may
// still be deciding: an authority that signs is only ever replaced by one that
// waited its time.
package rotate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/concord-id/concord/ca"
)

// Ledger is the committed truth about authorities, and the way to change it.
// A proposal that was refused, or whose outcome is not known, is an error; the
// truth is read again before anything else is proposed.
type Ledger interface {
	Authorities(use ca.Use) []ca.Authority
	Terms() ca.Terms
	// Wait returns nil when what the methods above say may have changed since
	// it was called last, and ctx's error when ctx ends.
	Wait(ctx context.Context) error

	Prepare(ctx context.Context, a ca.Authority) error
	// Activate makes a prepared authority the active one; the one before it
	// stays in the bundle for vouchFor.
	Activate(ctx context.Context, use ca.Use, id string, vouchFor time.Duration) error
	// Remove takes an authority out of the bundle. revoke: although it does
	// not say until when it vouches.
	Remove(ctx context.Context, use ca.Use, id string, revoke bool) error
}

// Maker makes new authorities.
type Maker interface {
	NewAuthority(use ca.Use, ttl time.Duration, now time.Time) (ca.Authority, error)
}

// Cluster is what the members know.
type Cluster interface {
	// Now is this node's clock, by which everything is decided.
	Now() time.Time
	// ClocksAgree is nil if a majority of the members' clocks are within a
	// minute of this node's.
	ClocksAgree() error
	// Spread is nil if every member has published a, or has been silent for
	// longer than the staleness limit and so signs nothing.
	Spread(a ca.Authority) error
}

// Pace of a Turner.
const (
	firstRetry      = time.Second // doubled with every failure
	lastRetry       = time.Minute
	proposalTimeout = 30 * time.Second
	longestSleep    = time.Hour // a clock that is set is noticed after this
)

// Turner turns the authorities of a domain.
type Turner struct {
	ledger  Ledger
	maker   Maker
	cluster Cluster
	log     *slog.Logger

	paces map[ca.Use]*pace // owned by Run
}

// New returns a Turner that does nothing before Run.
func New(ledger Ledger, maker Maker, cluster Cluster, log *slog.Logger) *Turner {
	return &Turner{ledger: ledger, maker: maker, cluster: cluster, log: log}
}

// Run turns until ctx ends, and then returns nil; it fails if the ledger does.
// It is for the leader: whoever runs it ends ctx when this node leads no more,
// and may run it again.
func (t *Turner) Run(ctx context.Context) error {
	t.paces = map[ca.Use]*pace{ca.X509: {}, ca.JWT: {}}
	for {
		wake := t.turn(ctx)
		wait, cancel := context.WithTimeout(ctx, wake.Sub(t.cluster.Now()))
		err := t.ledger.Wait(wait)
		timedOut := wait.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !timedOut:
			return fmt.Errorf("watch the authorities: %w", err)
		}
	}
}

// turn carries out what is due and says when to look again.
func (t *Turner) turn(ctx context.Context) time.Time {
	wake := t.cluster.Now().Add(longestSleep)
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		if ctx.Err() != nil {
			return wake
		}
		if next := t.turnUse(ctx, use, t.paces[use]); !next.IsZero() && next.Before(wake) {
			wake = next
		}
	}
	return wake
}

// turnUse does so for one use, so that one that cannot turn holds up nothing
// else. After a failure it rests, however often the ledger changes.
func (t *Turner) turnUse(ctx context.Context, use ca.Use, p *pace) time.Time {
	now := t.cluster.Now()
	if now.Before(p.retry) {
		return p.retry
	}
	steps, next := ca.Next(use, t.ledger.Authorities(use), t.ledger.Terms(), now)
	var failed error
	for _, step := range steps {
		err := t.do(ctx, step)
		if ctx.Err() != nil {
			return now // somebody else leads
		}
		failed = errors.Join(failed, err)
	}
	switch {
	case failed != nil:
		wait := p.failed(now)
		t.log.Warn("an authority's life waits", "use", use.String(), "error", failed, "failures", p.failures, "retry_in", wait)
		return p.retry
	case len(steps) > 0:
		next = now // what was done may make something else due
	}
	*p = pace{}
	return next
}

// pace is how soon one use is tried again.
type pace struct {
	failures int // in a row
	retry    time.Time
}

func (p *pace) failed(now time.Time) (wait time.Duration) {
	wait = min(lastRetry, firstRetry<<min(p.failures, 10))
	p.failures++
	p.retry = now.Add(wait)
	return wait
}

// do carries out one step.
func (t *Turner) do(ctx context.Context, step ca.Step) error {
	if err := t.cluster.ClocksAgree(); err != nil {
		return fmt.Errorf("%s %s authority %s: %w", step.Action, step.Use, step.ID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, proposalTimeout)
	defer cancel()
	var err error
	switch step.Action {
	case ca.Prepare:
		err = t.prepare(ctx, step)
	case ca.Activate:
		err = t.activate(ctx, step)
	case ca.Remove:
		err = t.ledger.Remove(ctx, step.Use, step.ID, step.Revoke)
	}
	if err != nil {
		return fmt.Errorf("%s %s authority %s: %w", step.Action, step.Use, step.ID, err)
	}
	t.log.Info("an authority turned", "action", step.Action.String(), "use", step.Use.String(), "authority", step.ID, "why", step.Why)
	return nil
}

func (t *Turner) prepare(ctx context.Context, step ca.Step) error {
	a, err := t.maker.NewAuthority(step.Use, t.ledger.Terms().AuthorityTTL, t.cluster.Now())
	if err != nil {
		return err
	}
	return t.ledger.Prepare(ctx, a)
}

func (t *Turner) activate(ctx context.Context, step ca.Step) error {
	for _, a := range t.ledger.Authorities(step.Use) {
		if a.ID != step.ID {
			continue
		}
		if err := t.cluster.Spread(a); err != nil {
			return err
		}
		return t.ledger.Activate(ctx, step.Use, step.ID, t.ledger.Terms().VouchFor(step.Use))
	}
	return errors.New("it is no longer there")
}
