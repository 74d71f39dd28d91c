package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
)

// campaign is one node that lives again and again on the same ground, and
// those who write to it.
type campaign struct {
	out      io.Writer
	what     string     // how it dies: "kill", "cut"
	programs [][]string // of which each life takes one
	ground   ground
	random   *rand.Rand

	clerks  []*clerk
	gazette gazette
	trail   trail

	acknowledged atomic.Int64
	target       atomic.Int64 // acknowledgements at which reached is closed; 0: none
	reached      chan struct{}

	deaths, early        int // early: before it served
	unanswered, outcomes int // requests without an answer, and how many of them were done
	starting             time.Duration
	wrong                []string
}

func newCampaign(out io.Writer, what string, seed uint64, g ground, programs ...[]string) *campaign {
	c := &campaign{out: out, what: what, programs: programs, ground: g, random: rand.New(rand.NewPCG(seed, 0)), starting: time.Second}
	for i, hire := range []struct {
		name string
		new  func(string, *rand.Rand) *clerk
	}{
		{"anna", newEntriesClerk}, {"bela", newEntriesClerk}, {"cleo", newBatchesClerk}, {"dora", newBatchesClerk},
		{"emil", newPeersClerk}, {"fred", newPeersClerk}, {"gene", newAuthoritiesClerk},
	} {
		c.clerks = append(c.clerks, hire.new(hire.name, rand.New(rand.NewPCG(seed, uint64(i+1)))))
	}
	return c
}

// moment returns a channel that is closed when a life has to end.
type moment func() <-chan struct{}

// afterAcknowledged is when so many more requests were acknowledged.
func (c *campaign) afterAcknowledged(n int) moment {
	return func() <-chan struct{} {
		c.reached = make(chan struct{})
		c.target.Store(c.acknowledged.Load() + int64(n))
		return c.reached
	}
}

// acknowledge counts one.
func (c *campaign) acknowledge() {
	if c.acknowledged.Add(1) == c.target.Load() {
		close(c.reached)
	}
}

// after is some time after the process was started.
func after(d time.Duration) moment {
	return func() <-chan struct{} {
		end := make(chan struct{})
		time.AfterFunc(d, func() { close(end) })
		return end
	}
}

// errStopped is why a campaign ends before its time.
var errStopped = errors.New("stopped")

// live lets the node live once until the moment comes, and checks it as soon as
// it serves.
func (c *campaign) live(ctx context.Context, end moment) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("nothing more happened within %s", patience))
	defer cancel()
	dir, err := c.ground.lay()
	if err != nil {
		return err
	}
	over := end()
	p, err := start(c.programs[c.deaths%len(c.programs)], dir)
	if err != nil {
		return errors.Join(err, c.ground.clear())
	}
	err = c.follow(ctx, p, over)
	p.kill()
	c.deaths++
	if !passed(p.up) {
		c.early++
	}
	return errors.Join(err, c.ground.clear())
}

// follow waits for a life's end. It is an error only if there is nothing more
// to be learned.
func (c *campaign) follow(ctx context.Context, p *process, over <-chan struct{}) error {
	select {
	case <-over:
		return nil
	case <-p.ended:
		return c.surprise(p, over)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w before the node served; its log ends with\n%s", errStopped, context.Cause(ctx), tail(p.log.String(), 20))
	case <-p.up:
	}
	c.starting = time.Since(p.begun)
	for _, line := range p.alarms() {
		c.mistake("the node logged: %s", line)
	}
	d, err := p.door()
	if err != nil {
		return err
	}
	defer d.close()
	if err := c.check(ctx, d); err != nil {
		if passed(over) {
			return nil
		}
		return fmt.Errorf("%w: the node that serves cannot be read: %w", errStopped, err)
	}
	return c.load(ctx, p, d, over)
}

// load lets all clerks work until the end.
func (c *campaign) load(ctx context.Context, p *process, d *door, over <-chan struct{}) error {
	var working sync.WaitGroup
	defer working.Wait()
	defer p.kill()
	ends := make(chan error, len(c.clerks))
	for _, k := range c.clerks {
		working.Go(func() { ends <- k.work(ctx, d, c.acknowledge) })
	}
	select {
	case <-over:
		return nil
	case <-p.ended:
		return c.surprise(p, over)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w under load; the node's log ends with\n%s", errStopped, context.Cause(ctx), tail(p.log.String(), 20))
	case err := <-ends:
		// A clerk has no answer: the end is near, or here.
		select {
		case <-over:
			return nil
		case <-p.ended:
			return c.surprise(p, over)
		case <-ctx.Done():
			return fmt.Errorf("%w: a request was not answered by a node that lives: %w; its log ends with\n%s", errStopped, err, tail(p.log.String(), 20))
		}
	}
}

// surprise is a node that ends by itself, and not because its disk went dark.
func (c *campaign) surprise(p *process, over <-chan struct{}) error {
	if passed(over) {
		return nil
	}
	return fmt.Errorf("%w: after %s %d the node ended by itself with exit code %d:\n%s", errStopped, c.what, c.deaths, p.code(), tail(p.log.String(), 20))
}

// check holds what the node shows against what everybody was told.
func (c *campaign) check(ctx context.Context, d *door) error {
	found, err := d.records(ctx)
	if err != nil {
		return err
	}
	document, sequence, err := d.published(ctx)
	if err != nil {
		return err
	}
	unlike, err := unpublished(ctx, d, document)
	if err != nil {
		return err
	}
	records, err := d.audited(ctx, c.trail.read)
	if err != nil {
		return err
	}
	var chain client.AuditVerified
	if err := d.get(ctx, &chain, "audit", "verify"); err != nil {
		return fmt.Errorf("verify the audit trail: %w", err)
	}
	c.note(c.gazette.read(document, sequence))
	c.note(unlike)
	c.compare(found)
	var receipts []receipt
	for _, k := range c.clerks {
		receipts = append(receipts, k.receipts...)
		k.receipts = nil
	}
	c.note(c.trail.take(records, receipts))
	return nil
}

// compare gives each clerk what is theirs.
func (c *campaign) compare(found map[string]string) {
	theirs := make([]map[string]string, len(c.clerks))
	for i := range theirs {
		theirs[i] = map[string]string{}
	}
	for name, value := range found {
		owned := false
		for i, k := range c.clerks {
			if k.owns(name) {
				theirs[i][name], owned = value, true
			}
		}
		if !owned {
			c.mistake("%s is there, and nobody asked for it: %s", name, value)
		}
	}
	for i, k := range c.clerks {
		c.unanswered += k.book.underWay()
		wrong, begun := k.check(theirs[i])
		c.outcomes += begun
		c.note(wrong)
	}
}

func (c *campaign) note(wrong []string) {
	for _, w := range wrong {
		c.mistake("%s", w)
	}
}

// mistakesSaid is how many mistakes are printed: one crash may lose everything.
const mistakesSaid = 20

// mistake notes what must never be, and says it.
func (c *campaign) mistake(format string, args ...any) {
	text := fmt.Sprintf("after %s %d: ", c.what, c.deaths) + fmt.Sprintf(format, args...)
	c.wrong = append(c.wrong, text)
	switch {
	case len(c.wrong) <= mistakesSaid:
		fmt.Fprintf(c.out, "LOST %.400s\n", text)
	case len(c.wrong) == mistakesSaid+1:
		fmt.Fprintln(c.out, "LOST and more")
	}
}

// passed reports whether a channel was closed.
func passed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
