// Package cluster tests nodes that make up one trust domain together: joining,
// leading, losing, leaving. Its nodes are whole and real, in this process: on ports
// of loopback, or, for what takes time or a broken network, disk or clock, in a
// synctest bubble on a network in memory.
package cluster

import (
	"testing"

	"github.com/concord-id/concord/tests/world"
)

func TestMain(m *testing.M) { world.Main(m) }
