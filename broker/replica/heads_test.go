package replica_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/concord-id/concord/broker/replica"
)

// bbolt would go on without the newest write.
func TestAFlippedBitInAHeadOfTheLogIsLoud(t *testing.T) {
	dir, want := written(t, false)
	for _, page := range []int{0, os.Getpagesize()} {
		for at := page + 16; at < page+80; at += 4 {
			again := copyDir(t, dir)
			path := filepath.Join(again, "log.db")
			flip(t, path, at, 0)
			if _, err := reopened(t, again); !errors.Is(err, replica.ErrCorrupt) {
				t.Errorf("byte %d: got %v, want ErrCorrupt", at, err)
			}
			flip(t, path, at, 0)
			if got, err := reopened(t, again); err != nil || got != want {
				t.Errorf("byte %d: turned back: %v", at, err)
			}
		}
	}
}
