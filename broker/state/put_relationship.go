package state

import "github.com/concord-id/concord/federation"

// PutRelationship makes or replaces the relationship with a trust domain.
// Apply sets CreatedAt and Revision.
type PutRelationship struct {
	Relationship federation.Relationship
	IfRevision   *uint64 // nil: must not exist yet; else the revision that the proposer saw
}
