package grant

import (
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"
)

// Ledger is as much of the committed truth as grants need. One value is one
// committed cut: nothing of it ever changes.
type Ledger interface {
	// Index grows with every commit; a Ledger with a smaller one is older.
	Index() uint64
	TrustDomain() spiffeid.TrustDomain
	// EntriesFor returns the entries that this host serves and whose selectors
	// are all among selectors, which are sorted. An entry that did not change
	// is the same pointer in the next Ledger: that is how streams are shared.
	EntriesFor(selectors []attest.Selector) []*workload.Entry
	// Own is this domain's bundle; never nil in a Ledger that a Source returns.
	Own() *federation.Published
	// Foreign is td's bundle, nil if there is none. A bundle that did not
	// change is the same pointer in the next Ledger.
	Foreign(td spiffeid.TrustDomain) *federation.Published
	// TTLs are the lifetimes of SVIDs whose entry does not name one.
	TTLs() (x509, jwt time.Duration)
}

// Source is where the newest Ledger comes from.
type Source interface {
	// Ledger returns the newest cut, at once. While this node may not speak
	// for the domain (it has no state yet, has heard no leader, or its view is
	// too old) the error says why and has ca.ErrNotReady in its chain.
	Ledger() (Ledger, error)
}

// Signer signs SVIDs in this process. It fails with ca.ErrNotReady in the
// chain while it has nothing to sign with.
type Signer interface {
	X509SVID(ca.X509Request) (ca.X509SVID, error)
	JWTSVID(ca.JWTRequest) (ca.JWTSVID, error)
}

// Change says what may differ in the newest Ledger from the one before. It is
// a hint to look, never the truth itself: too much only costs time.
type Change struct {
	Everything bool                   // nothing known before holds, such as after a snapshot; says nothing of Signing
	Own        bool                   // our own bundle
	Entries    bool                   // some entry, or which entries this host serves
	Bundles    []spiffeid.TrustDomain // other domains' bundles, made, changed or deleted; in any order
	Signing    bool                   // an authority was activated or tainted and Signer uses the new one: replace every X.509-SVID
}

// maxNamedBundles is how many bundles a Change names before it says Everything.
const maxNamedBundles = 1024

// merge returns what may differ after c and then later.
func (c Change) merge(later Change) Change {
	merged := Change{
		Everything: c.Everything || later.Everything,
		Own:        c.Own || later.Own,
		Entries:    c.Entries || later.Entries,
		Signing:    c.Signing || later.Signing,
	}
	if len(c.Bundles)+len(later.Bundles) > maxNamedBundles {
		merged.Everything = true
	}
	if !merged.Everything {
		merged.Bundles = slices.Concat(c.Bundles, later.Bundles)
	}
	return merged
}
