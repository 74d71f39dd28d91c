package state

import "github.com/concord-id/concord/workload"

// PutEntry makes or replaces a registration entry. Apply sets CreatedAt and
// Revision, and the built-in alias as parent if there is none.
type PutEntry struct {
	Entry      workload.Entry
	IfRevision *uint64 // nil: must not exist yet; else the revision that the proposer saw
}
