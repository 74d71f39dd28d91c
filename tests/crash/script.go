package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/concord-id/concord/broker/audit"
)

// How lives end. A fifth of them end while the node starts; a cut comes at an
// operation of the disk, a start has some tens of them.
const (
	earlyPercent = 20
	mostLoad     = 150 // acknowledgements
	mostEarlyOps = 120
	mostOps      = 1500
)

// kills lets the node be killed so often.
func (c *campaign) kills(ctx context.Context, n int) error {
	for range n {
		end := c.afterAcknowledged(1 + c.random.IntN(mostLoad))
		if c.random.IntN(100) < earlyPercent {
			end = after(time.Duration(c.random.Float64() * 1.1 * float64(c.starting)))
		}
		if err := c.live(ctx, end); err != nil {
			return err
		}
		c.progress(n)
	}
	return c.finish(ctx)
}

// cuts lets the power of the ground go so often.
func (c *campaign) cuts(ctx context.Context, n int, t *thin) error {
	for range n {
		most := mostOps
		if c.random.IntN(100) < earlyPercent {
			most = mostEarlyOps
		}
		ops := 1 + c.random.IntN(most)
		if err := c.live(ctx, func() <-chan struct{} { return t.disk.CutAfter(ops) }); err != nil {
			return err
		}
		c.progress(n)
	}
	return c.finish(ctx)
}

// progress says how it stands, now and then.
func (c *campaign) progress(of int) {
	if c.deaths%max(1, of/10) == 0 {
		fmt.Fprintf(c.out, "%s %d of %d: acknowledged %d, lost %d\n", c.what, c.deaths, of, c.acknowledged.Load(), len(c.wrong))
	}
}

// finish lets the node live a last time, and end in peace.
func (c *campaign) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("nothing more happened within %s", patience))
	defer cancel()
	dir, err := c.ground.lay()
	if err != nil {
		return err
	}
	defer func() {
		if cleared := c.ground.clear(); err == nil {
			err = cleared
		}
	}()
	p, err := start(c.programs[0], dir)
	if err != nil {
		return err
	}
	defer p.kill()
	select {
	case <-p.up:
	case <-p.ended:
		return c.surprise(p, nil)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w before the node served", errStopped, context.Cause(ctx))
	}
	d, err := p.door()
	if err != nil {
		return err
	}
	defer d.close()
	if err := c.check(ctx, d); err != nil {
		return fmt.Errorf("%w: the node that serves cannot be read: %w", errStopped, err)
	}
	if code := p.stop(); code != 0 {
		c.mistake("the node was asked to stop and ended with exit code %d", code)
	}
	for _, line := range p.alarms() {
		c.mistake("the node logged: %s", line)
	}
	return c.verifyTrail(ctx)
}

// verifyTrail walks the audit trail that lies on solid ground.
func (c *campaign) verifyTrail(ctx context.Context) error {
	s, ok := c.ground.(solid)
	if !ok {
		return nil // a process must not open files that it serves itself; the node has verified it
	}
	report, err := audit.VerifyDir(ctx, filepath.Join(string(s), "d", "private", "audit"))
	if err != nil {
		return fmt.Errorf("verify the audit trail: %w", err)
	}
	if !report.Whole() {
		c.mistake("the audit trail: %s", report)
	}
	return nil
}

// sum prints how it ended, and returns an error if anything is not as it must be.
func (c *campaign) sum() error {
	fmt.Fprintf(c.out, "%d ended while the node started; of %d requests without an answer %d were done, the others not at all\n",
		c.early, c.unanswered, c.outcomes)
	fmt.Fprintf(c.out, "%ss %d, acknowledged %d, lost %d\n", c.what, c.deaths, c.acknowledged.Load(), len(c.wrong))
	if len(c.wrong) > 0 {
		return fmt.Errorf("%d things are not as they must be, the first %.400s", len(c.wrong), c.wrong[0])
	}
	return nil
}
