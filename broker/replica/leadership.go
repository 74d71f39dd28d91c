package replica

import (
	"context"
	"sync"
)

// leadership is whether this node leads, and what wakes those who wait for
// that to change.
type leadership struct {
	mu      sync.Mutex
	leads   bool
	changed chan struct{} // closed at the next change
}

func newLeadership() *leadership { return &leadership{changed: make(chan struct{})} }

func (l *leadership) set(leads bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leads == leads {
		return
	}
	l.leads = leads
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *leadership) get() (leads bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leads, l.changed
}

// Leading reports whether this node leads and has applied everything that was
// committed before it did.
func (r *Replica) Leading() bool {
	leads, _ := r.leading.get()
	return leads
}

// WaitLeading returns when this node leads. It fails with ctx's error.
func (r *Replica) WaitLeading(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		leads, changed := r.leading.get()
		if leads {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// WhileLeading runs work each time this node begins to lead, on a context that
// ends when it leads no more, and waits for it to return. It returns ctx's
// error when ctx ends. If work returns while this node still leads, it is not
// run again before the next time.
func (r *Replica) WhileLeading(ctx context.Context, work func(ctx context.Context)) error {
	for {
		if err := r.WaitLeading(ctx); err != nil {
			return err
		}
		r.lead(ctx, work)
	}
}

func (r *Replica) lead(ctx context.Context, work func(ctx context.Context)) {
	leads, changed := r.leading.get()
	if !leads {
		return
	}
	term, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { work(term) })
	select {
	case <-ctx.Done():
	case <-changed:
		cancel()
	}
}
