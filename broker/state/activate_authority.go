package state

import (
	"time"

	"github.com/concord-id/concord/ca"
)

// ActivateAuthority makes the prepared authority the one that signs; the one
// that did becomes old. It is refused inside the publication window.
type ActivateAuthority struct {
	Use   ca.Use
	ID    string
	Force bool // do not wait for the publication window
	// VouchFor is how long after the activation the old authority still vouches
	// for an SVID on the slowest node, bounded by its own end.
	VouchFor time.Duration
}
