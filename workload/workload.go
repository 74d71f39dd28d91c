// Package workload is the words of registration: which identity belongs to
// which observed properties.
package workload

import (
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
)

// Limits of an entry.
const (
	MaxHintBytes     = 1024 // Workload API §8
	MaxIDBytes       = 2048 // SPIFFE-ID §2.3
	MaxDNSNames      = 64
	MaxFederatesWith = 1024
	MaxEntryIDBytes  = 255
)

// Entry is a registration entry: workloads with all of Selectors, on the
// agents that descend from ParentID, are SPIFFEID.
type Entry struct {
	ID            string // UUID unless the creator chose one
	SPIFFEID      spiffeid.ID
	ParentID      spiffeid.ID            // the built-in alias /spire/agent/concord if the creator gave none
	Selectors     []attest.Selector      // sorted, at least one, none twice
	FederatesWith []spiffeid.TrustDomain // sorted; a domain without a bundle is an absent peer, not an error
	X509TTL       time.Duration          // 0: the domain's default
	JWTTTL        time.Duration          // 0: the domain's default
	DNSNames      []string               // in the creator's order: the first is also the subject's CN
	Hint          string                 // told to workloads with several identities; unique per response
	Admin         bool                   // SVIDs of this entry may administer this domain
	Downstream    bool                   // SVIDs of this entry may ask for a downstream CA
	StoreSVID     bool                   // an agent stores the SVID instead of serving it
	ExpiresAt     time.Time              // zero: never
	CreatedAt     time.Time
	Revision      uint64 // 0 at creation, +1 with every change
}
