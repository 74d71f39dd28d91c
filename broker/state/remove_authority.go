package state

import "github.com/concord-id/concord/ca"

// RemoveAuthority takes an authority out of the bundle: an old one whose last
// SVID has ended, a prepared one that ended unused.
type RemoveAuthority struct {
	Use    ca.Use
	ID     string
	Revoke bool // an operator revokes an old or tainted one before its time
}
