package state

import (
	"iter"
	"slices"
	"strings"

	"github.com/tidwall/btree"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/workload"
)

// entryIndex finds entries by what they say. It follows from the entries: it
// is in no snapshot and in no digest.
type entryIndex struct {
	// claims is sorted by SPIFFE ID, parent, selectors and ID.
	claims *btree.BTreeG[*workload.Entry]
	// postings has each entry once, under its parent and one of its selectors,
	// its pivot. Whoever has all selectors of an entry has its pivot.
	postings *btree.BTreeG[posting]
	// crowds counts the postings under each parent and selector.
	crowds *btree.BTreeG[crowd]
}

// posting is an entry under one of its selectors, which is Selectors[pivot].
type posting struct {
	entry *workload.Entry
	pivot int
}

type crowd struct {
	parent   string
	selector attest.Selector
	size     int
}

func newEntryIndex() entryIndex {
	return entryIndex{
		claims:   newTree(func(a, b *workload.Entry) bool { return compareClaims(a, b) < 0 }),
		postings: newTree(func(a, b posting) bool { return comparePostings(a, b) < 0 }),
		crowds:   newTree(func(a, b crowd) bool { return compareCrowds(a, b) < 0 }),
	}
}

func (x entryIndex) copy() entryIndex {
	return entryIndex{claims: x.claims.Copy(), postings: x.postings.Copy(), crowds: x.crowds.Copy()}
}

// The comparisons stop at the first difference: they are most of what loading
// a large state costs.

func compareClaims(a, b *workload.Entry) int {
	if c := strings.Compare(a.SPIFFEID.String(), b.SPIFFEID.String()); c != 0 {
		return c
	}
	if c := strings.Compare(a.ParentID.String(), b.ParentID.String()); c != 0 {
		return c
	}
	if c := slices.CompareFunc(a.Selectors, b.Selectors, compareSelectors); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

func comparePostings(a, b posting) int {
	if c := strings.Compare(a.entry.ParentID.String(), b.entry.ParentID.String()); c != 0 {
		return c
	}
	if c := compareSelectors(a.selector(), b.selector()); c != 0 {
		return c
	}
	return strings.Compare(a.entry.ID, b.entry.ID)
}

func compareCrowds(a, b crowd) int {
	if c := strings.Compare(a.parent, b.parent); c != 0 {
		return c
	}
	return compareSelectors(a.selector, b.selector)
}

func compareSelectors(a, b attest.Selector) int {
	if c := strings.Compare(a.Type, b.Type); c != 0 {
		return c
	}
	return strings.Compare(a.Value, b.Value)
}

// selector is the pivot; the zero one, before all others, for an entry that
// stands for the beginning of its parent's.
func (p posting) selector() attest.Selector {
	if len(p.entry.Selectors) == 0 {
		return attest.Selector{}
	}
	return p.entry.Selectors[p.pivot]
}

func (p posting) crowd() crowd {
	return crowd{parent: p.entry.ParentID.String(), selector: p.selector()}
}

// pivot chooses the least crowded of e's selectors. One that all entries have
// in common therefore does not gather them.
func pivot(e *workload.Entry, crowded func(crowd) int) (p posting, size int) {
	size = -1
	for i := range e.Selectors {
		candidate := posting{e, i}
		if n := crowded(candidate.crowd()); size < 0 || n < size {
			p, size = candidate, n
		}
	}
	return p, size
}

// add indexes e, which has selectors.
func (x entryIndex) add(e *workload.Entry) {
	p, size := pivot(e, func(c crowd) int {
		found, _ := x.crowds.Get(c)
		return found.size
	})
	c := p.crowd()
	c.size = size + 1
	x.crowds.Set(c)
	x.postings.Set(p)
	x.claims.Set(e)
}

// fill indexes all entries at once: sorting first is several times as fast.
func (x entryIndex) fill(all []*workload.Entry) {
	sizes := make(map[crowd]int)
	postings := make([]posting, len(all))
	for i, e := range all {
		p, size := pivot(e, func(c crowd) int { return sizes[c] })
		sizes[p.crowd()] = size + 1
		postings[i] = p
	}
	crowds := make([]crowd, 0, len(sizes))
	for c, size := range sizes {
		c.size = size
		crowds = append(crowds, c)
	}
	load(x.crowds, crowds, compareCrowds)
	load(x.postings, postings, comparePostings)
	load(x.claims, all, compareClaims)
}

func load[T any](tree *btree.BTreeG[T], items []T, compare func(T, T) int) {
	slices.SortFunc(items, compare)
	for _, i := range items {
		tree.Load(i)
	}
}

func (x entryIndex) drop(e *workload.Entry) {
	x.claims.Delete(e)
	for i := range e.Selectors {
		p := posting{e, i}
		if _, found := x.postings.Delete(p); !found {
			continue
		}
		c, _ := x.crowds.Get(p.crowd())
		if c.size--; c.size > 0 {
			x.crowds.Set(c)
		} else {
			x.crowds.Delete(c)
		}
		return
	}
}

// like returns the entry with e's SPIFFE ID, parent and selectors; nil if
// there is none.
func (x entryIndex) like(e *workload.Entry) *workload.Entry {
	key := workload.Entry{SPIFFEID: e.SPIFFEID, ParentID: e.ParentID, Selectors: e.Selectors}
	var found *workload.Entry
	x.claims.Ascend(&key, func(next *workload.Entry) bool {
		if next.SPIFFEID == e.SPIFFEID && next.ParentID == e.ParentID && slices.Equal(next.Selectors, e.Selectors) {
			found = next
		}
		return false
	})
	return found
}

// claiming goes over the entries that give the SPIFFE ID id.
func (x entryIndex) claiming(key *workload.Entry) iter.Seq[*workload.Entry] {
	return func(yield func(*workload.Entry) bool) {
		x.claims.Ascend(key, func(e *workload.Entry) bool {
			return e.SPIFFEID == key.SPIFFEID && yield(e)
		})
	}
}

// under goes over the entries whose parent is key's.
func (x entryIndex) under(key *workload.Entry) iter.Seq[*workload.Entry] {
	return func(yield func(*workload.Entry) bool) {
		x.postings.Ascend(posting{entry: key}, func(p posting) bool {
			return p.entry.ParentID == key.ParentID && yield(p.entry)
		})
	}
}

// having goes over the entries under key's parent whose selectors are all in
// selectors. It looks only at those whose pivot is among them.
func (x entryIndex) having(key *workload.Entry, selectors []attest.Selector) iter.Seq[*workload.Entry] {
	return func(yield func(*workload.Entry) bool) {
		more := true
		for i := 0; more && i < len(selectors); i++ {
			start := *key
			start.Selectors = selectors[i : i+1]
			x.postings.Ascend(posting{entry: &start}, func(p posting) bool {
				if p.entry.ParentID != key.ParentID || p.selector() != selectors[i] {
					return false
				}
				if p.entry.Matches(selectors) {
					more = yield(p.entry)
				}
				return more
			})
		}
	}
}

// parent returns the first parent that is from or sorts after it; "" if there
// is none.
func (x entryIndex) parent(from string) string {
	var first string
	x.crowds.Ascend(crowd{parent: from}, func(c crowd) bool {
		first = c.parent
		return false
	})
	return first
}
