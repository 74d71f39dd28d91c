package workload

import (
	"cmp"
	"slices"
	"time"

	"github.com/concord-id/concord/attest"
)

// Matches reports whether a workload on which have was observed is e's: every
// selector of e is among them. have is sorted.
func (e *Entry) Matches(have []attest.Selector) bool {
	return attest.Subset(e.Selectors, have)
}

// Expired reports whether e has ended at now.
func (e *Entry) Expired(now time.Time) bool {
	return !e.ExpiresAt.IsZero() && !now.Before(e.ExpiresAt)
}

// Order is the order of identities in every answer to a workload: the oldest
// entry first, then by ID. The first is the default identity (Workload API §8);
// it is the same on every node and after every restart, and a new entry never
// takes its place.
func Order(a, b *Entry) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// Match returns the entries that a workload with the selectors have is
// entitled to at now, in Order: not those that have expired, nor those whose
// SVID an agent stores instead of serving it. have is sorted.
func Match(entries []*Entry, have []attest.Selector, now time.Time) []*Entry {
	var out []*Entry
	for _, e := range entries {
		if e.Matches(have) && !e.Expired(now) && !e.StoreSVID {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, Order)
	return out
}
