package state

import "github.com/spiffe/go-spiffe/v2/spiffeid"

// DeleteRelationship ends the relationship with a trust domain and deletes its
// bundle with it (SPIFFE Federation §6.3).
type DeleteRelationship struct {
	TrustDomain spiffeid.TrustDomain
}
