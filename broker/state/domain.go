package state

import (
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Domain is the trust domain that this cluster runs. It is made once, by
// Bootstrap.
type Domain struct {
	ClusterID   string
	TrustDomain spiffeid.TrustDomain
	CreatedAt   time.Time
	Settings    Settings
}
