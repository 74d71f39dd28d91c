package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = errors.New("the node is down")

// history is attempts that end at these milliseconds; a negative one fails.
func history(start time.Time, ends ...int) []attempt {
	var all []attempt
	for _, end := range ends {
		a := attempt{}
		if end < 0 {
			a.err, end = errDown, -end
		}
		a.ended = start.Add(time.Duration(end) * time.Millisecond)
		a.begun = a.ended.Add(-5 * time.Millisecond)
		all = append(all, a)
	}
	return all
}

func TestMeasure(t *testing.T) {
	for _, test := range []struct {
		name     string
		ends     []int
		from, to int
		want     window
	}{
		{"evenly", []int{20, 40, 60, 80, 100}, 0, 100, window{calls: 5, gap: 20 * time.Millisecond}},
		{"nothing at all is one gap", nil, 0, 100, window{gap: 100 * time.Millisecond}},
		{"failures count, and end no gap", []int{10, -20, -50, 60, 100}, 0, 100, window{calls: 5, failed: 2, gap: 50 * time.Millisecond, err: errDown}},
		{"a gap at the begin counts from the last success before", []int{10, 30, 90, 100}, 40, 100, window{calls: 2, gap: 60 * time.Millisecond}},
		{"a gap before the begin is another window's", []int{10, 70, 90, 110}, 80, 110, window{calls: 2, gap: 20 * time.Millisecond}},
		{"a gap that lasts counts so far", []int{10, 20, -90}, 0, 100, window{calls: 3, failed: 1, gap: 80 * time.Millisecond, err: errDown}},
		{"what ends later is not known yet", []int{50, 100, -101}, 0, 100, window{calls: 2, gap: 50 * time.Millisecond}},
		{"on the border it belongs to the window that ends", []int{50, 100}, 50, 100, window{calls: 1, gap: 50 * time.Millisecond}},
	} {
		t.Run(test.name, func(t *testing.T) {
			start := time.Unix(1_800_000_000, 0)
			at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
			if got := measure(history(start, test.ends...), at(test.from), at(test.to)); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestWindowsOfTwoNodes(t *testing.T) {
	got := window{calls: 3, failed: 1, gap: time.Second, err: errDown}.and(window{calls: 4, gap: 2 * time.Second})
	if want := (window{calls: 7, failed: 1, gap: 2 * time.Second, err: errDown}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestGaugeOfANodeThatIsDownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		down, up := begun.Add(time.Second), begun.Add(3*time.Second)
		g := startGauge(100*time.Millisecond, 500*time.Millisecond, func(ctx context.Context) error {
			if now := time.Now(); now.Before(down) || !now.Before(up) {
				return nil
			}
			<-ctx.Done() // it does not even say no
			return ctx.Err()
		})
		time.Sleep(5*time.Second + time.Millisecond)
		g.end()
		w := g.during(begun, time.Now())
		if w.failed != 4 || !errors.Is(w.err, context.DeadlineExceeded) {
			t.Errorf("%d attempts of half a second failed within 2 s, the last with %v; want 4", w.failed, w.err)
		}
		if least, most := 2*time.Second, 2300*time.Millisecond; w.gap < least || w.gap > most {
			t.Errorf("the longest gap is %s, want %s to %s", w.gap, least, most)
		}
		// One that was begun in time and waits for the answer is no proof.
		if back, ok := g.successAfter(down); !ok || back.Before(up) {
			t.Errorf("it was back at +%s, want not before +3s", back.Sub(begun))
		}
		if _, ok := g.successAfter(time.Now()); ok {
			t.Error("an attempt succeeded that nobody made")
		}
	})
}

func TestAnAttemptThatTheEndCallsOffDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := startGauge(time.Second, time.Minute, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		synctest.Wait()
		g.end()
		if w := g.during(time.Time{}, time.Now()); w.calls != 0 {
			t.Errorf("%d attempts count", w.calls)
		}
	})
}

func TestPhaseCountsWhatIsNew(t *testing.T) {
	c := &caller{way: "there", told: report{Calls: 10, Successes: 9, Error: "refused"}}
	var p phase
	p.add(c, report{Calls: 15, Successes: 13, Error: "reset"})
	p.add(c, report{Calls: 20, Successes: 18, Error: "reset"})
	if p.calls != 10 || p.failed != 1 {
		t.Errorf("%d calls, %d failed; want 10 and 1", p.calls, p.failed)
	}
	if err := p.verify(); err == nil || !strings.Contains(err.Error(), "1 of 10 mTLS calls failed, one there: reset") {
		t.Errorf("a phase with a failed call says %v", err)
	}
}
