package state

import (
	"crypto/sha256"
	"iter"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"
)

// View is the state after one log index. It never changes, and what it returns
// must not be changed. All its methods may be called by many at once.
type View struct {
	index uint64
	head  [sha256.Size]byte // of the audit chain
	sum   sum               // of all records
	tables
}

// Index is the log index of the newest command in the view; 0 before the first.
func (v *View) Index() uint64 { return v.index }

// Digest stands for the whole state and for how it came about: nodes that read
// the same log up to the same Index have the same, whether from the log or from
// a snapshot.
func (v *View) Digest() [sha256.Size]byte {
	records := v.sum.bytes()
	return sha256.Sum256(slices.Concat(records[:], v.head[:]))
}

// AuditHead is the audit chain's head; all zero before the first record.
func (v *View) AuditHead() [sha256.Size]byte { return v.head }

// Domain returns the domain; false before Bootstrap.
func (v *View) Domain() (Domain, bool) {
	if h := v.domain.get(""); h != nil {
		return h.Domain, true
	}
	return Domain{}, false
}

// Authorities returns the authorities of a use, the first prepared first.
func (v *View) Authorities(use ca.Use) []ca.Authority {
	var all []ca.Authority
	for a := range v.authorities.from("") {
		if a.Use == use {
			all = append(all, *a)
		}
	}
	slices.SortStableFunc(all, func(a, b ca.Authority) int { return a.PreparedAt.Compare(b.PreparedAt) })
	return all
}

// Authority returns one authority; false if there is none.
func (v *View) Authority(use ca.Use, id string) (ca.Authority, bool) {
	return deref(v.authorities.get(authorityKey(use, id)))
}

// Own returns our own bundle; nil before Bootstrap.
func (v *View) Own() *federation.Published {
	if p := v.publication.get(""); p != nil {
		return p.bundle
	}
	return nil
}

// Foreign returns td's bundle; nil if there is none, or td is our own domain.
func (v *View) Foreign(td spiffeid.TrustDomain) *federation.Published {
	if f := v.bundles.get(td.Name()); f != nil {
		return f.bundle
	}
	return nil
}

// Bundles returns other domains' bundles, sorted by trust domain.
func (v *View) Bundles() iter.Seq[*federation.Published] {
	return func(yield func(*federation.Published) bool) {
		for f := range v.bundles.from("") {
			if !yield(f.bundle) {
				return
			}
		}
	}
}

// BundleCount is how many bundles of other domains there are.
func (v *View) BundleCount() int { return v.bundles.count() }

// Holder returns the trust domain that has the key with this hash in its
// bundle, ours included; false if none has. It is a federation.Holder.
func (v *View) Holder(hash federation.KeyHash) (spiffeid.TrustDomain, bool) {
	return v.held.holder(hash)
}

// Relationship returns the relationship with td; false if there is none.
func (v *View) Relationship(td spiffeid.TrustDomain) (federation.Relationship, bool) {
	return deref(v.relationships.get(td.Name()))
}

// Relationships returns all relationships, sorted by trust domain.
func (v *View) Relationships() iter.Seq[federation.Relationship] {
	return values(v.relationships.from(""))
}

// RelationshipCount is how many relationships there are.
func (v *View) RelationshipCount() int { return v.relationships.count() }

// Agent returns the record of one agent; false if there is none.
func (v *View) Agent(id spiffeid.ID) (Agent, bool) { return deref(v.agents.get(id.String())) }

// Agents returns all agents, sorted by ID.
func (v *View) Agents() iter.Seq[Agent] { return values(v.agents.from("")) }

// AgentsFrom returns the agents whose ID is id or sorts after it.
func (v *View) AgentsFrom(id string) iter.Seq[Agent] { return values(v.agents.from(id)) }

// AgentCount is how many agents there are.
func (v *View) AgentCount() int { return v.agents.count() }

// RequestCount is how many requests are remembered.
func (v *View) RequestCount() int { return v.requests.count() }

// Entry returns one entry; false if there is none.
func (v *View) Entry(id string) (*workload.Entry, bool) {
	e := v.entries.get(id)
	return e, e != nil
}

// Entries returns all entries, sorted by ID.
func (v *View) Entries() iter.Seq[*workload.Entry] { return v.entries.from("") }

// EntriesFrom returns the entries whose ID is id or sorts after it.
func (v *View) EntriesFrom(id string) iter.Seq[*workload.Entry] { return v.entries.from(id) }

// EntryCount is how many entries there are.
func (v *View) EntryCount() int { return v.entries.count() }

func deref[T any](p *T) (T, bool) {
	if p == nil {
		var none T
		return none, false
	}
	return *p, true
}

func values[T any](pointers iter.Seq[*T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for p := range pointers {
			if !yield(*p) {
				return
			}
		}
	}
}
