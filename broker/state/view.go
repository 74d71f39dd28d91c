package state

import (
	"crypto/sha256"
	"errors"
	"io"
	"iter"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"
)

// View is the state after one log index. It never changes, and what it returns
// must not be changed.
type View struct{}

// Index is the log index of the newest command in the view; 0 before the first.
func (v *View) Index() uint64 { return 0 }

// Digest stands for the whole state: nodes that read the same log to the same
// Index have the same, however they came there.
func (v *View) Digest() [sha256.Size]byte { return [sha256.Size]byte{} }

// AuditHead is the audit chain's head.
func (v *View) AuditHead() [sha256.Size]byte { return [sha256.Size]byte{} }

// Domain returns the domain; false before Bootstrap.
func (v *View) Domain() (Domain, bool) { return Domain{}, false }

// Authorities returns the authorities of a use, the first prepared first.
func (v *View) Authorities(use ca.Use) []ca.Authority { return nil }

// Authority returns one authority.
func (v *View) Authority(use ca.Use, id string) (ca.Authority, bool) { return ca.Authority{}, false }

// Own returns our own bundle; nil before Bootstrap.
func (v *View) Own() *federation.Published { return nil }

// Foreign returns td's bundle; nil if there is none.
func (v *View) Foreign(td spiffeid.TrustDomain) *federation.Published { return nil }

// Bundles returns other domains' bundles, sorted by trust domain.
func (v *View) Bundles() iter.Seq[*federation.Published] { return nil }

// BundleCount is how many bundles of other domains there are.
func (v *View) BundleCount() int { return 0 }

// Entry returns one entry.
func (v *View) Entry(id string) (*workload.Entry, bool) { return nil, false }

// Entries returns all entries, sorted by ID.
func (v *View) Entries() iter.Seq[*workload.Entry] { return nil }

// EntriesFrom returns the entries whose ID is id or sorts after it.
func (v *View) EntriesFrom(id string) iter.Seq[*workload.Entry] { return nil }

// EntriesWithID returns the entries that give the SPIFFE ID id, sorted by
// parent and selectors.
func (v *View) EntriesWithID(id spiffeid.ID) iter.Seq[*workload.Entry] { return nil }

// EntriesUnder returns the entries whose parent is exactly parent.
func (v *View) EntriesUnder(parent spiffeid.ID) iter.Seq[*workload.Entry] { return nil }

// EntryLike returns the entry with e's SPIFFE ID, parent and selectors.
func (v *View) EntryLike(e workload.Entry) (*workload.Entry, bool) { return nil, false }

// EntryCount is how many entries there are.
func (v *View) EntryCount() int { return 0 }

// EntriesOf returns an agent's entries, sorted by ID: the descendants of its
// ID and of each alias whose selectors it has.
func (v *View) EntriesOf(agent Agent) []*workload.Entry { return nil }

// EntriesFor returns, sorted by ID, those of EntriesOf(agent) whose selectors
// are all in selectors, which are sorted. It does not look at all of them.
func (v *View) EntriesFor(agent Agent, selectors []attest.Selector) []*workload.Entry { return nil }

// Relationship returns the relationship with td.
func (v *View) Relationship(td spiffeid.TrustDomain) (federation.Relationship, bool) {
	return federation.Relationship{}, false
}

// Relationships returns all relationships, sorted by trust domain.
func (v *View) Relationships() iter.Seq[federation.Relationship] { return nil }

// RelationshipCount is how many relationships there are.
func (v *View) RelationshipCount() int { return 0 }

// Agent returns the record of one agent.
func (v *View) Agent(id spiffeid.ID) (Agent, bool) { return Agent{}, false }

// Agents returns all agents, sorted by ID.
func (v *View) Agents() iter.Seq[Agent] { return nil }

// AgentCount is how many agents there are.
func (v *View) AgentCount() int { return 0 }

// WriteTo writes a snapshot, which Restore reads.
func (v *View) WriteTo(w io.Writer) (int64, error) { return 0, errors.ErrUnsupported }
