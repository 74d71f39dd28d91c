package state

import (
	"cmp"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// maxChangedEntries is how many entry IDs a Change names. Past it AllEntries
// is set instead, so that a slow watcher's merged Change stays small.
const maxChangedEntries = 1024

// Change says what is different in a View, so that whoever watches looks only
// at that. It is a value: its slices are never changed.
type Change struct {
	Index       uint64 // of the newest command in it
	Everything  bool   // a snapshot was restored: nothing known before holds
	Own         bool   // our own bundle has new content and a new sequence
	Authorities bool   // an authority was prepared, activated, tainted, resealed or removed: signers must look
	Settings    bool
	Agents      bool
	Members     bool // of the cluster, its removed members and join tokens
	Duties      bool // who shares the work that one member does at a time

	Entries    []string // sorted IDs of entries made, changed or deleted
	AllEntries bool     // more entries than a Change names; Entries is then empty

	Bundles       []spiffeid.TrustDomain // sorted: other domains' bundles made, changed or deleted
	Relationships []spiffeid.TrustDomain // sorted: relationships made, changed or deleted
}

// Empty reports whether nothing is different.
func (c Change) Empty() bool {
	return !c.Everything && !c.Own && !c.Authorities && !c.Settings && !c.Agents && !c.Members && !c.Duties && !c.AnyEntry() &&
		len(c.Bundles) == 0 && len(c.Relationships) == 0
}

// AnyEntry reports whether some entry is different.
func (c Change) AnyEntry() bool { return c.Everything || c.AllEntries || len(c.Entries) > 0 }

// Entry reports whether the entry called id may be different.
func (c Change) Entry(id string) bool {
	if c.Everything || c.AllEntries {
		return true
	}
	_, found := slices.BinarySearch(c.Entries, id)
	return found
}

// Bundle reports whether td's bundle may be different; td is not our own domain.
func (c Change) Bundle(td spiffeid.TrustDomain) bool { return c.Everything || has(c.Bundles, td) }

// Relationship reports whether the relationship with td may be different.
func (c Change) Relationship(td spiffeid.TrustDomain) bool {
	return c.Everything || has(c.Relationships, td)
}

// Merge returns what is different after c and then later. Neither is changed.
func (c Change) Merge(later Change) Change {
	merged := Change{
		Index:         max(c.Index, later.Index),
		Everything:    c.Everything || later.Everything,
		Own:           c.Own || later.Own,
		Authorities:   c.Authorities || later.Authorities,
		Settings:      c.Settings || later.Settings,
		Agents:        c.Agents || later.Agents,
		Members:       c.Members || later.Members,
		Duties:        c.Duties || later.Duties,
		AllEntries:    c.AllEntries || later.AllEntries,
		Bundles:       union(c.Bundles, later.Bundles, spiffeid.TrustDomain.Compare),
		Relationships: union(c.Relationships, later.Relationships, spiffeid.TrustDomain.Compare),
	}
	if !merged.AllEntries {
		merged.setEntries(union(c.Entries, later.Entries, cmp.Compare[string]))
	}
	return merged
}

// setEntries takes sorted IDs, or notes that there are too many to name.
func (c *Change) setEntries(ids []string) {
	if len(ids) > maxChangedEntries {
		c.Entries, c.AllEntries = nil, true
		return
	}
	c.Entries = ids
}

func has(sorted []spiffeid.TrustDomain, td spiffeid.TrustDomain) bool {
	_, found := slices.BinarySearchFunc(sorted, td, spiffeid.TrustDomain.Compare)
	return found
}

// union merges two sorted slices. If one is empty the other is shared, not copied.
func union[T comparable](a, b []T, compare func(T, T) int) []T {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, compare)
	return slices.Compact(all)
}
