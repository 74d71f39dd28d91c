package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// hop asks one location. A kept connection that turns out to be gone is
// replaced once.
func (f *fetcher) hop(ctx context.Context, e errand, n *line, at location, tag string, first bool) (*answer, *x509.Certificate, error) {
	keep := e.keep && first
	w := n.takeKept(at, first)
	for {
		if w == nil {
			var err error
			if w, err = f.connect(ctx, e.anchor, n, at); err != nil {
				return nil, nil, f.ended(ctx, err)
			}
		}
		a, err := f.ask(ctx, w, at, tag, keep)
		if errors.Is(err, errSilent) && ctx.Err() == nil {
			w.close()
			w = nil
			continue
		}
		if err != nil {
			w.close()
			return nil, nil, f.ended(ctx, err)
		}
		if a.reusable {
			n.kept = w
		} else {
			w.close()
		}
		return a, w.peer, nil
	}
}

// takeKept returns the kept connection if it leads to at and may still be used.
func (n *line) takeKept(at location, first bool) *wire {
	w := n.kept
	if w == nil || !first {
		return nil
	}
	n.kept = nil
	if w.address != at.address() || !time.Now().Before(w.until) {
		w.close()
		return nil
	}
	return w
}

// connect opens a connection to at. The first name that a line resolves is the
// configured one, and its class holds for all that follows.
func (f *fetcher) connect(ctx context.Context, a anchor, n *line, at location) (*wire, error) {
	w, most, err := f.open(ctx, at, a, n.reach)
	n.reach = most
	return w, err
}

// ended says that the whole fetch ran out of time, if that is why it failed.
func (f *fetcher) ended(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case ctx.Err() != nil:
		return fmt.Errorf("the fetch was not complete after %s", f.limits.Whole)
	}
	return err
}
