package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gauge tries something all the time, one attempt after another, and remembers
// how each went.
type gauge struct {
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	attempts []attempt // in the order of their ends
}

// attempt is one try of a gauge.
type attempt struct {
	begun, ended time.Time
	err          error
}

// startGauge begins an attempt every so often, or when the one before has ended;
// each may take as long as within.
func startGauge(every, within time.Duration, try func(context.Context) error) *gauge {
	ctx, cancel := context.WithCancel(context.Background())
	g := &gauge{cancel: cancel}
	g.running.Go(func() { g.run(ctx, every, within, try) })
	return g
}

// end waits for the attempt under way, which is called off and does not count.
func (g *gauge) end() {
	g.cancel()
	g.running.Wait()
}

func (g *gauge) run(ctx context.Context, every, within time.Duration, try func(context.Context) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		attempted := attempt{begun: time.Now()}
		limited, cancel := context.WithTimeout(ctx, within)
		attempted.err = try(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		attempted.ended = time.Now()
		g.mu.Lock()
		g.attempts = append(g.attempts, attempted)
		g.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// during is how the attempts went that ended in a time.
func (g *gauge) during(from, to time.Time) window {
	g.mu.Lock()
	defer g.mu.Unlock()
	return measure(g.attempts, from, to)
}

// successAfter is when the first attempt succeeded that was begun after that.
func (g *gauge) successAfter(moment time.Time) (time.Time, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.attempts, func(a attempt) bool { return a.err == nil && !a.begun.Before(moment) })
	if i < 0 {
		return time.Time{}, false
	}
	return g.attempts[i].ended, true
}

// window sums up attempts.
type window struct {
	calls, failed int
	gap           time.Duration // longest time from one success to the next
	err           error         // of the last one that failed
}

// measure sums up the attempts that ended after from and not after to. A gap that
// began before from counts from its begin, and one that lasts at to counts so far.
func measure(attempts []attempt, from, to time.Time) window {
	var w window
	last := from
	for _, a := range attempts {
		switch {
		case a.ended.After(to):
		case !a.ended.After(from):
			if a.err == nil {
				last = a.ended
			}
		case a.err != nil:
			w.calls++
			w.failed++
			w.err = a.err
		default:
			w.calls++
			w.gap = max(w.gap, a.ended.Sub(last))
			last = a.ended
		}
	}
	w.gap = max(w.gap, to.Sub(last))
	return w
}

// and is both together: what one did not see, the other may have.
func (w window) and(o window) window {
	w.calls += o.calls
	w.failed += o.failed
	w.gap = max(w.gap, o.gap)
	if o.err != nil {
		w.err = o.err
	}
	return w
}
