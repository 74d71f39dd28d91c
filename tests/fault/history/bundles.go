package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Invariants, as violations name them.
const (
	sequence  = "the bundle's sequence only grows, with its content"
	published = "nothing is signed by an authority that is not published"
	bound     = "a key is trusted for the domain that published it"
	staleness = "a node that hears no leader issues until it is stale"
)

// backTime is how far back a client that knows nothing may see while there is a leader.
const backTime = time.Second

// backward finds documents that go back: for a client on one connection, or with
// a tag, ever; for others by more than a second, unless it says that it is old.
func backward(events []Event) (wrong []Violation) {
	hashes, sequences := map[uint64]*Event{}, map[string]*Event{}
	newest := map[string]*Event{} // of each client that may not go back
	var all []*Event
	for e := range of(events, Document) {
		if e.Outcome != Done {
			continue
		}
		all = append(all, e)
		if before := hashes[e.Sequence]; before != nil && before.Hash != e.Hash {
			wrong = append(wrong, Violation{sequence, e.End, fmt.Sprintf("sequence %d is %s at %s, and %s at %s", e.Sequence, before.Hash, before.Node, e.Hash, e.Node)})
		}
		if before := sequences[e.Hash]; before != nil && before.Sequence != e.Sequence {
			wrong = append(wrong, Violation{sequence, e.End, fmt.Sprintf("the document %s has sequence %d at %s, and %d at %s", e.Hash, before.Sequence, before.Node, e.Sequence, e.Node)})
		}
		hashes[e.Sequence], sequences[e.Hash] = e, e
		if e.Way == Fresh {
			continue
		}
		if before := newest[e.Client]; before != nil && e.Sequence < before.Sequence {
			wrong = append(wrong, Violation{sequence, e.End, fmt.Sprintf("%s (%s) got sequence %d at %s, and had %d of %s", e.Client, e.Way, e.Sequence, e.Node, before.Sequence, before.Node)})
		}
		newest[e.Client] = e
	}
	return append(wrong, farBack(all)...)
}

// farBack finds answers that are older than what anybody had got long before.
func farBack(documents []*Event) (wrong []Violation) {
	ended := slices.SortedFunc(slices.Values(documents), func(a, b *Event) int { return cmp.Compare(a.End, b.End) })
	begun := slices.SortedFunc(slices.Values(documents), func(a, b *Event) int { return cmp.Compare(a.Begin, b.Begin) })
	var newest *Event
	for _, e := range begun {
		for len(ended) > 0 && ended[0].End+backTime < e.Begin {
			if newest == nil || ended[0].Sequence > newest.Sequence {
				newest = ended[0]
			}
			ended = ended[1:]
		}
		if newest != nil && e.Sequence < newest.Sequence && !e.Aged {
			wrong = append(wrong, Violation{sequence, e.End, fmt.Sprintf("%s got sequence %d at %s, as if it were the newest, and %d had been served by %s more than %s before",
				e.Client, e.Sequence, e.Node, newest.Sequence, newest.Node, backTime)})
		}
	}
	return wrong
}

// unpublished finds SVIDs by an authority that an endpoint does not serve yet.
// One that is not served any more is in a document before.
func unpublished(events []Event) (wrong []Violation) {
	first := map[string]uint64{} // the lowest sequence with each authority
	for e := range of(events, Document) {
		for _, key := range e.Keys {
			if have, ok := first[key]; !ok || e.Sequence < have {
				first[key] = e.Sequence
			}
		}
	}
	signed := map[string]*Event{} // the first SVID by each authority
	for e := range of(events, SVID) {
		for _, key := range e.Keys {
			if before := signed[key]; before == nil || e.End < before.End {
				signed[key] = e
			}
		}
	}
	for key, svid := range signed {
		sequence, ok := first[key]
		if !ok {
			wrong = append(wrong, Violation{published, svid.End, fmt.Sprintf("%s signed at %s by authority %s, which no endpoint ever served", svid.Node, svid.End, key)})
			continue
		}
		for e := range of(events, Document) {
			if e.Outcome == Done && e.Begin > svid.End && e.Sequence < sequence {
				wrong = append(wrong, Violation{published, e.End, fmt.Sprintf("%s serves sequence %d without authority %s, by which %s had signed at %s", e.Node, e.Sequence, key, svid.Node, svid.End)})
				break
			}
		}
	}
	return wrong
}

// misdelivered finds bundles with keys that their domain had not published, or
// not together, or that are older than what the same stream has had.
func misdelivered(events []Event) (wrong []Violation) {
	versions := map[string]*Event{} // by domain and keys
	newest := map[[2]string]*Event{}
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case Published:
			versions[e.Domain+" "+strings.Join(e.Keys, " ")] = e
		case Delivery:
			version := versions[e.Domain+" "+strings.Join(e.Keys, " ")]
			if version == nil || version.Begin > e.End {
				wrong = append(wrong, Violation{bound, e.End, fmt.Sprintf("%s got at %s for %s the keys %v, which it never published", e.Client, e.Node, e.Domain, e.Keys)})
				continue
			}
			stream := [2]string{e.Client, e.Domain}
			if before := newest[stream]; before != nil && version.Sequence < before.Sequence {
				wrong = append(wrong, Violation{bound, e.End, fmt.Sprintf("%s got at %s for %s version %d after %d", e.Client, e.Node, e.Domain, version.Sequence, before.Sequence)})
			}
			newest[stream] = version
		}
	}
	return wrong
}

// overdue finds SVIDs that a stale node issued.
func overdue(events []Event) (wrong []Violation) {
	for time := range of(events, Stale) {
		for e := range of(events, SVID) {
			if e.Node == time.Node && e.Begin > time.Begin && e.Begin < time.End {
				wrong = append(wrong, Violation{staleness, e.End, fmt.Sprintf("%s issued at %s, and was stale from %s to %s", e.Node, e.Begin, time.Begin, time.End)})
			}
		}
	}
	return wrong
}
