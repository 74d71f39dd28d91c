// Package world is what tests about whole nodes stand on: real nodes with
// their log on disk and every door open, peers that tell lies, the binary that
// ships, and workloads. It holds no expectation: the tests do.
package world

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// Patience is how long anything that must happen may take on a machine that is
// busy with something else. It ends a test rather than letting it hang.
const Patience = 60 * time.Second

// Soon returns a context for what must happen.
func Soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), Patience, errors.New("it did not happen within "+Patience.String()))
	t.Cleanup(cancel)
	return ctx
}

// Dir returns a new directory whose name is short enough for sockets in it
// (unix(7): 107 bytes), and through which other users may pass.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Must returns v, or fails the test because of err.
func Must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
