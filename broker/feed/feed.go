// Package feed wakes whoever waits for the state to change. It owns the newest
// View and a short memory of what changed on the way to it.
//
// The latest value wins: a watcher that was busy gets the newest View and one
// merged Change, never a queue of old ones, and one that slept through more
// than the feed remembers is told that everything may be different. Publishing
// costs the same for one watcher and for ten thousand.
package feed

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/concord-id/concord/broker/state"
)

// ErrClosed is what waiting on a closed feed returns.
var ErrClosed = errors.New("this node is stopping: the feed of changes has ended")

// remembered is how many changes a watcher may sleep through and still be told
// what they were.
const remembered = 256

// Feed holds the newest View. The zero value is not usable; New makes one.
type Feed struct {
	view atomic.Pointer[state.View]

	mu     sync.Mutex
	recent [remembered]state.Change // change n is at n % remembered
	count  uint64                   // changes so far; empty ones are not counted
	wake   chan struct{}            // closed at the next change that is not empty
	moved  chan struct{}            // closed at the next View, changed or not
	closed bool
}

// New returns a feed without a View.
func New() *Feed {
	return &Feed{wake: make(chan struct{}), moved: make(chan struct{})}
}

// Publish makes v the newest View and wakes the watchers, unless c is empty and
// v is not the first View. Calls come one after the other, in the order of the log.
func (f *Feed) Publish(v *state.View, c state.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := f.view.Swap(v) == nil
	if f.closed {
		return
	}
	close(f.moved)
	f.moved = make(chan struct{})
	if c.Empty() && !first {
		return
	}
	if !c.Empty() {
		f.recent[f.count%remembered] = c
		f.count++
	}
	close(f.wake)
	f.wake = make(chan struct{})
}

// Current returns the newest View, nil before the first.
func (f *Feed) Current() *state.View { return f.view.Load() }

// WaitIndex returns a View that has applied log index, as soon as there is
// one. It fails with ctx's error, or with ErrClosed.
func (f *Feed) WaitIndex(ctx context.Context, index uint64) (*state.View, error) {
	for {
		f.mu.Lock()
		v, moved, closed := f.view.Load(), f.moved, f.closed
		f.mu.Unlock()
		switch {
		case v != nil && v.Index() >= index:
			return v, nil
		case closed:
			return nil, ErrClosed
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-moved:
		}
	}
}

// Close ends every wait with ErrClosed. Current goes on answering.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.closed = true
	close(f.wake)
	close(f.moved)
}
