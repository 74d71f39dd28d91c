package state

import "github.com/concord-id/concord/ca"

// PrepareAuthority publishes the next authority of a use. It signs nothing
// until it is activated. Apply sets its status and times.
type PrepareAuthority struct {
	Authority ca.Authority
}
