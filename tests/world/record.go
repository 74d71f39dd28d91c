package world

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

// Record keeps what a node or a process writes, and wakes whoever waits for a
// part of it.
type Record struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed at the next write
}

// Write implements io.Writer.
func (r *Record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
	return r.text.Write(p)
}

// String returns everything written so far.
func (r *Record) String() string {
	text, _ := r.now()
	return text
}

func (r *Record) now() (string, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.more == nil {
		r.more = make(chan struct{})
	}
	return r.text.String(), r.more
}

// Await returns once words were written, and fails the test if that never comes.
func (r *Record) Await(t testing.TB, words string) {
	t.Helper()
	ctx := Soon(t)
	for {
		text, more := r.now()
		if strings.Contains(text, words) {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("%q was never written; this was:\n%s", words, text)
		}
	}
}
