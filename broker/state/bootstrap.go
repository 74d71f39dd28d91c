package state

import (
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
)

// Bootstrap makes the domain, once. Its first authorities are active at once;
// the next ones are published with the first bundle, so that every backup
// holds the keys that will be used next.
type Bootstrap struct {
	ClusterID   string
	TrustDomain spiffeid.TrustDomain
	Settings    Settings
	// Authorities are one active of each use, and at most one prepared of each.
	// apply sets their times.
	Authorities []ca.Authority
}
