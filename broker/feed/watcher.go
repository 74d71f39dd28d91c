package feed

import (
	"context"

	"github.com/concord-id/concord/broker/state"
)

// Watcher is one reader of a feed. It holds nothing that must be given back:
// end a Wait by its context, and drop the watcher. It belongs to one goroutine.
type Watcher struct {
	feed    *Feed
	started bool
	seen    uint64 // changes already told
}

// Watch returns a watcher whose first Wait returns the newest View at once,
// with a Change that says Everything.
func (f *Feed) Watch() *Watcher { return &Watcher{feed: f} }

// Wait returns the newest View and what is different since the View that this
// watcher was given last. It blocks while nothing is, and while there is no
// View at all; it fails with ctx's error, or with ErrClosed.
func (w *Watcher) Wait(ctx context.Context) (*state.View, state.Change, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, state.Change{}, err
		}
		v, missed, wake, err := w.look()
		switch {
		case err != nil:
			return nil, state.Change{}, err
		case v != nil:
			return v, w.merge(v, missed), nil
		}
		select {
		case <-ctx.Done():
		case <-wake:
		}
	}
}

// look takes what this watcher missed, or the channel that ends its waiting.
// Both are read under one lock, so that no change falls between.
func (w *Watcher) look() (v *state.View, missed []state.Change, wake <-chan struct{}, err error) {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, nil, ErrClosed
	}
	v = f.view.Load()
	if v == nil || w.started && w.seen == f.count {
		return nil, nil, f.wake, nil
	}
	if w.started && f.count-w.seen <= remembered {
		for n := w.seen; n < f.count; n++ {
			missed = append(missed, f.recent[n%remembered])
		}
	}
	w.seen = f.count
	return v, missed, nil, nil
}

// merge makes one Change of many. No list of what was missed means that it is
// not known: everything.
func (w *Watcher) merge(v *state.View, missed []state.Change) state.Change {
	w.started = true
	if len(missed) == 0 {
		return state.Change{Index: v.Index(), Everything: true}
	}
	merged := missed[0]
	for _, c := range missed[1:] {
		merged = merged.Merge(c)
	}
	return merged
}
