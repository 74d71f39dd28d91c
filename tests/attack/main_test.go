// Package attack tries to hurt a node as a crowd, a slow reader or an owner of
// one of its peers would: the others are served, and the node answers
// afterwards. `make crowd` runs it at full size.
package attack_test

import (
	"os"
	"testing"

	"github.com/concord-id/concord/tests/world"
)

func TestMain(m *testing.M) { world.Main(m) }

// full says that the crowd is to have its full size: `make crowd`.
func full() bool { return os.Getenv("CONCORD_CROWD") == "full" }

// size is small in ordinary runs.
func size(small, large int) int {
	if full() {
		return large
	}
	return small
}
