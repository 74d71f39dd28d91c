package state

import "github.com/spiffe/go-spiffe/v2/spiffeid"

// DeleteBundle deletes another domain's bundle. The relationship stays.
type DeleteBundle struct {
	TrustDomain spiffeid.TrustDomain
	Mode        DeleteMode
}

// DeleteMode is what becomes of the entries that federate with the domain.
type DeleteMode uint8

// The modes, with the numbers that SPIRE's API gives them; they are in the log
// and never change.
const (
	ModeRestrict   DeleteMode = 0 // refuse while an entry federates with it
	ModeDelete     DeleteMode = 1 // delete those entries
	ModeDissociate DeleteMode = 2 // take the domain out of those entries
)
