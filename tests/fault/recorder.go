package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/concord-id/concord/tests/fault/history"
)

// recorder keeps the history, in memory and in a file.
type recorder struct {
	begun time.Time

	mu     sync.Mutex
	events []history.Event
	file   *os.File
	lines  *history.Writer
	failed error
}

func newRecorder(dir string) (*recorder, error) {
	file, err := os.Create(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		return nil, err
	}
	return &recorder{begun: time.Now(), file: file, lines: history.NewWriter(file)}, nil
}

// now is the time since the history began, whatever is done to clocks.
func (r *recorder) now() time.Duration { return time.Since(r.begun) }

// add notes an event; one without an end is known now.
func (r *recorder) add(e history.Event) {
	if e.End == 0 {
		e.End = r.now()
	}
	if e.Begin == 0 {
		e.Begin = e.End
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	if err := r.lines.Write(e); err != nil && r.failed == nil {
		r.failed = fmt.Errorf("keep the history: %w", err)
	}
}

// wrong notes what is seen to be wrong at once.
func (r *recorder) wrong(invariant, format string, args ...any) {
	r.add(history.Event{Kind: history.Wrong, Op: invariant, Value: fmt.Sprintf(format, args...)})
}

// all is the history so far.
func (r *recorder) all() []history.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[:len(r.events):len(r.events)]
}

// close writes what is not written yet.
func (r *recorder) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.lines.Flush(); err != nil && r.failed == nil {
		r.failed = err
	}
	if err := r.file.Close(); err != nil && r.failed == nil {
		r.failed = err
	}
	return r.failed
}
