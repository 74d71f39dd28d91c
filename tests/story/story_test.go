// Package story tells what whole nodes do, with real parts: the log on disk,
// TLS, sockets, go-spiffe as the workload and spire-api-sdk as the operator.
package story

import (
	"testing"

	"github.com/concord-id/concord/tests/world"
)

func TestMain(m *testing.M) { world.Main(m) }
