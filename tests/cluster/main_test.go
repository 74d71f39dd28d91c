// Package cluster tests nodes that make up one trust domain together: joining,
// leading, losing, leaving. Its nodes are whole and real, in this process, on
// ports of loopback.
package cluster

import (
	"testing"

	"github.com/concord-id/concord/tests/world"
)

func TestMain(m *testing.M) { world.Main(m) }
