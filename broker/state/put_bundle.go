package state

import (
	"crypto/sha256"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// PutBundle replaces another domain's bundle if the proposer saw the current
// one.
type PutBundle struct {
	TrustDomain spiffeid.TrustDomain
	Document    []byte            // canonical, passed the guard before proposal
	IfDocument  [sha256.Size]byte // SHA-256 of the document that it replaces; zero: there must be none
	Any         bool              // an operator overrides IfDocument
	Origin      Origin
}

// Origin is who brought a bundle.
type Origin string

// The origins of a bundle.
const (
	OriginOwn      Origin = "own"      // made by apply
	OriginFetch    Origin = "fetch"    // from the endpoint of the relationship
	OriginOperator Origin = "operator" // by hand
)
