package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// stack is what has been started, in order. Stopping unwinds it: intake first,
// the store last.
type stack struct {
	log   *slog.Logger
	parts []part
}

type part struct {
	name string
	stop func(context.Context) error
}

// push adds a part; stop is given a context that ends when patience does.
func (s *stack) push(name string, stop func(context.Context) error) {
	s.parts = append(s.parts, part{name, stop})
}

// cutOffAfter is how long a part may take to stop when patience has ended.
const cutOffAfter = time.Second

// unwind stops everything, last in first out, and goes on after a failure. A
// part that does not stop is left as it is: the process ends.
func (s *stack) unwind(ctx context.Context) error {
	var errs []error
	for i := len(s.parts) - 1; i >= 0; i-- {
		p := s.parts[i]
		begun := time.Now()
		if err := p.unwind(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", p.name, err))
		}
		s.log.Debug("stopped", "part", p.name, "took", time.Since(begun))
	}
	s.parts = nil
	return errors.Join(errs...)
}

// unwind stops one part, and waits for it as long as patience lasts.
func (p part) unwind(ctx context.Context) error {
	stopped := make(chan error, 1)
	go func() { stopped <- p.stop(ctx) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-stopped:
		return err
	case <-time.After(cutOffAfter):
		return errors.New("it has not stopped in time and was left")
	}
}

// machine is a loop that runs until its context ends.
type machine struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// run starts a machine and pushes it. A machine that ends by itself with an
// error ends the node: fail is told.
func (s *stack) run(name string, fail func(error), loop func(context.Context) error) {
	s.runOn(context.Background(), name, fail, loop)
}

// runOn starts a machine that is also told to stop when base ends.
func (s *stack) runOn(base context.Context, name string, fail func(error), loop func(context.Context) error) {
	ctx, cancel := context.WithCancel(base)
	m := &machine{cancel: cancel}
	m.done.Go(func() {
		if err := loop(ctx); err != nil && ctx.Err() == nil {
			fail(fmt.Errorf("%s: %w", name, err))
		}
	})
	s.push(name, func(context.Context) error {
		m.cancel()
		m.done.Wait()
		return nil
	})
}
