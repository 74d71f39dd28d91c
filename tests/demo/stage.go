package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// stage is where a story plays: a directory of its own, the two programs, and
// all that was started, which ends with it.
type stage struct {
	story    string // how what it says of itself begins
	dir      string
	concord  string
	workload string
	died     chan error // a process that nobody asked to end

	mu      sync.Mutex
	running []*process
}

func newStage(story, concord, workload string) (*stage, error) {
	for _, binary := range []*string{&concord, &workload} {
		absolute, err := filepath.Abs(*binary)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(absolute); err != nil {
			return nil, fmt.Errorf("%w: run `make build` first, or `make %s`, which does", err, story)
		}
		*binary = absolute
	}
	// Short, because a socket's path may have 108 bytes.
	dir, err := os.MkdirTemp("", "concord-demo-")
	if err != nil {
		return nil, err
	}
	// Workloads of any user must reach the sockets.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return &stage{story: story, dir: dir, concord: concord, workload: workload, died: make(chan error, 1)}, nil
}

// domain is an organization that plays here; its node is not started yet.
func (s *stage) domain(name, dir string) *domain {
	return &domain{stage: s, name: name, dir: filepath.Join(s.dir, dir)}
}

// step is a part of a story, with what it verified.
type step[S any] struct {
	name string
	do   func(ctx context.Context, story S) error
}

// play performs the steps one after another and reports whether all held.
func play[S any](ctx context.Context, s *stage, limit time.Duration, story S, steps []step[S]) bool {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("the demonstration took longer than %s", limit))
		defer cancel()
	}
	for i, part := range steps {
		fmt.Printf("\n%d. %s\n", i+1, part.name)
		if err := s.perform(ctx, func(ctx context.Context) error { return part.do(ctx, story) }); err != nil {
			fmt.Printf("\n%s: step %d (%s) failed: %v\n", s.story, i+1, part.name, err)
			s.showLogs()
			fmt.Printf("%s: %d steps verified, 1 failed\n", s.story, i)
			return false
		}
	}
	return true
}

// perform runs a step; a node or workload that ends by itself meanwhile ends
// the step too.
func (s *stage) perform(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case err := <-s.died:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err := do(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (seen as: %v)", cause, err)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	cancel(nil)
	<-watching
	return err
}

// verified says what has just been seen to hold.
func verified(format string, args ...any) { fmt.Printf("   ✓ "+format+"\n", args...) }

// note says what happens.
func note(format string, args ...any) { fmt.Printf("   · "+format+"\n", args...) }

// refused says who was refused, and in whose words.
func refused(who, words string) { fmt.Printf("   ✗ refused: %s\n       %s\n", who, words) }
