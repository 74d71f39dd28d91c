package feed_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/feed"
	"github.com/concord-id/concord/broker/state"
)

// views makes the views after log index 1, 2, ….
type views struct{ machine *state.Machine }

func newViews() *views { return &views{state.NewMachine()} }

func (v *views) next(t testing.TB) *state.View {
	t.Helper()
	index := v.machine.View().Index() + 1
	entry, err := state.Encode(
		broker.Act{Actor: "test", RequestID: strconv.FormatUint(index, 10), At: time.Unix(1_700_000_000, 0)},
		state.DeleteRelationship{TrustDomain: spiffeid.RequireTrustDomainFromString("acme.example")},
	)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.machine.Apply(index, entry); err != nil {
		t.Fatal(err)
	}
	return v.machine.View()
}

// entries is a change of entries.
func entries(ids ...string) state.Change { return state.Change{Entries: ids} }

func TestTheFirstWaitReturnsTheNewestViewAtOnce(t *testing.T) {
	f, v := feed.New(), newViews()
	if f.Current() != nil {
		t.Error("there is a view before the first")
	}
	f.Publish(v.next(t), entries("a"))
	newest := v.next(t)
	f.Publish(newest, state.Change{})
	view, change, err := f.Watch().Wait(t.Context())
	if err != nil || view != newest || !change.Everything || change.Index != 2 {
		t.Errorf("%v %+v %v", view.Index(), change, err)
	}
	if f.Current() != newest {
		t.Error("Current is not the newest view")
	}
}

func TestWhatAWatcherMissedIsMerged(t *testing.T) {
	f, v := feed.New(), newViews()
	f.Publish(v.next(t), state.Change{})
	w := f.Watch()
	if _, _, err := w.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Publish(v.next(t), entries("b"))
	f.Publish(v.next(t), state.Change{Own: true})
	newest := v.next(t)
	f.Publish(newest, entries("a"))
	view, change, err := w.Wait(t.Context())
	if err != nil || view != newest || !change.Own || change.Everything || !slices.Equal(change.Entries, []string{"a", "b"}) {
		t.Errorf("%d %+v %v", view.Index(), change, err)
	}
}

func TestAWatcherSleepsUntilSomethingIsDifferent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, v := feed.New(), newViews()
		w := f.Watch()
		woken := make(chan state.Change)
		go func() {
			for {
				_, change, err := w.Wait(t.Context())
				if err != nil {
					close(woken)
					return
				}
				woken <- change
			}
		}()
		quiet := func(when string) {
			t.Helper()
			synctest.Wait()
			select {
			case c := <-woken:
				t.Errorf("%s it was woken with %+v", when, c)
			default:
			}
		}
		quiet("before there is a view")
		f.Publish(v.next(t), state.Change{})
		if c := <-woken; !c.Everything {
			t.Errorf("at first: %+v", c)
		}
		f.Publish(v.next(t), state.Change{})
		quiet("when nothing is different")
		f.Publish(v.next(t), entries("a"))
		if c := <-woken; c.Everything || !slices.Equal(c.Entries, []string{"a"}) {
			t.Errorf("then: %+v", c)
		}
		quiet("after it was told")
		f.Close()
		f.Close() // a second time is nothing
		if _, more := <-woken; more {
			t.Error("it was woken by a closed feed")
		}
	})
}

func TestAWatcherThatSleptTooLongIsToldEverything(t *testing.T) {
	for _, c := range []struct {
		missed     int
		everything bool
	}{{256, false}, {257, true}, {10_000, true}} {
		f, v := feed.New(), newViews()
		f.Publish(v.next(t), state.Change{})
		w := f.Watch()
		if _, _, err := w.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		view := f.Current()
		for n := range c.missed {
			f.Publish(view, entries(fmt.Sprintf("%05d", n)))
		}
		_, change, err := w.Wait(t.Context())
		if err != nil || change.Everything != c.everything || !change.Entry("00000") {
			t.Errorf("%d missed: %+v %v", c.missed, change, err)
		}
	}
}

func TestAWaitEndsWithItsContextOrTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, v := feed.New(), newViews()
		f.Publish(v.next(t), state.Change{})
		w := f.Watch()
		if _, _, err := w.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := w.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("watcher: %v", err)
		}
		if _, err := f.WaitIndex(short, 9); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("index: %v", err)
		}
		go func() { time.Sleep(time.Second); f.Close() }()
		if _, err := f.WaitIndex(t.Context(), 9); !errors.Is(err, feed.ErrClosed) {
			t.Errorf("index: %v", err)
		}
		if _, _, err := w.Wait(t.Context()); !errors.Is(err, feed.ErrClosed) {
			t.Errorf("watcher: %v", err)
		}
		f.Publish(v.next(t), entries("a")) // whoever applies may be later than whoever closes
	})
}

func TestWaitIndexWaitsForTheIndexNotForAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, v := feed.New(), newViews()
		got := make(chan uint64, 1)
		go func() {
			view, err := f.WaitIndex(t.Context(), 3)
			if err != nil {
				t.Error(err)
				return
			}
			got <- view.Index()
		}()
		for n := range 3 {
			synctest.Wait()
			if len(got) > 0 {
				t.Errorf("it came after %d", n)
			}
			f.Publish(v.next(t), state.Change{})
		}
		if index := <-got; index != 3 {
			t.Errorf("it came with %d", index)
		}
	})
}

// However slow they are, all of many watchers come to the last view, and are
// told of everything on the way.
func TestManyWatchersMissNothing(t *testing.T) {
	const watchers, changes = 2000, 600
	f, v := feed.New(), newViews()
	f.Publish(v.next(t), state.Change{})
	var all []*state.View
	for range changes {
		all = append(all, v.next(t))
	}
	last := all[changes-1]
	var started, ended sync.WaitGroup
	for range watchers {
		w := f.Watch()
		started.Add(1)
		ended.Go(func() {
			told := map[string]bool{}
			for first := true; ; first = false {
				view, change, err := w.Wait(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				for n := range changes {
					if id := strconv.Itoa(n); change.Entry(id) && (!change.Everything || all[n].Index() <= view.Index()) {
						told[id] = true
					}
				}
				if first {
					started.Done()
				}
				if view == last {
					if len(told) != changes {
						t.Errorf("told of %d of %d changes", len(told), changes)
					}
					return
				}
			}
		})
	}
	started.Wait()
	for n, view := range all {
		f.Publish(view, entries(strconv.Itoa(n)))
	}
	ended.Wait()
}

func BenchmarkPublishToTenThousandWatchers(b *testing.B) {
	f, v := feed.New(), newViews()
	view := v.next(b)
	f.Publish(view, state.Change{})
	ctx, cancel := context.WithCancel(b.Context())
	var ended sync.WaitGroup
	for range 10_000 {
		w := f.Watch()
		ended.Go(func() {
			for {
				if _, _, err := w.Wait(ctx); err != nil {
					return
				}
			}
		})
	}
	for b.Loop() {
		f.Publish(view, state.Change{Own: true})
	}
	cancel()
	ended.Wait()
}
