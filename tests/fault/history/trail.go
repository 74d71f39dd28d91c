package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// twice holds acknowledgements against the audit trail: each has its record, at
// the index that the client was told, and no request was done more than once. One
// change is committed once: a poller that is not the only one changes nothing.
func twice(events []Event) (wrong []Violation) {
	t := trail{records: map[uint64]*Event{}, requests: map[string]uint64{}, newest: map[string]*Event{}}
	audited := slices.Collect(of(events, Audited))
	slices.SortStableFunc(audited, func(a, b *Event) int { return cmp.Compare(a.Index, b.Index) })
	for _, e := range audited {
		wrong = append(wrong, t.take(e)...)
	}
	for e := range of(events, Write) {
		if e.Outcome != Done {
			continue
		}
		if r := t.records[e.Index]; r == nil || !r.tellsOf(e) {
			wrong = append(wrong, Violation{once, e.End, fmt.Sprintf("%s of %s, request %s, was acknowledged with log index %d, and the audit trail has %+v there", e.Op, e.Key, e.Request, e.Index, r)})
		}
	}
	return wrong
}

// tellsOf reports whether an audit record is of a write that was done: its request
// has the client's name for it, and a part that stands for what was asked for.
func (e *Event) tellsOf(write *Event) bool {
	name, _, _ := strings.Cut(e.Request, ".")
	return name == write.Request && e.Outcome == Done
}

// trail is the audit trail of all nodes, by log index.
type trail struct {
	records  map[uint64]*Event
	requests map[string]uint64
	newest   map[string]*Event // change of each bundle
}

func (t *trail) take(e *Event) (wrong []Violation) {
	if before := t.records[e.Index]; before != nil {
		if before.Hash != e.Hash || before.Request != e.Request {
			return []Violation{{sameLog, e.End, fmt.Sprintf("the audit record of log index %d is %s of request %s at %s, and %s of request %s at %s",
				e.Index, before.Hash, before.Request, before.Node, e.Hash, e.Request, e.Node)}}
		}
		return nil
	}
	t.records[e.Index] = e
	if e.Outcome != Done {
		return nil
	}
	if first, again := t.requests[e.Request]; again {
		wrong = append(wrong, Violation{once, e.End, fmt.Sprintf("request %s was done at log index %d, and again at %d", e.Request, first, e.Index)})
	}
	t.requests[e.Request] = e.Index
	if e.Op == PutBundle {
		if before := t.newest[e.Key]; before != nil && before.Value == e.Value && e.Value != "" {
			wrong = append(wrong, Violation{once, e.End, fmt.Sprintf("%s was brought at log index %d, and the same again at %d", e.Key, before.Index, e.Index)})
		}
		t.newest[e.Key] = e
	}
	return wrong
}

// PutBundle is the Op of an audit record of a bundle that was brought.
const PutBundle = "put_bundle"

const sameLog = "members that read the same log have the same state"

// unlike finds members whose states differ at the same index.
func unlike(events []Event) (wrong []Violation) {
	states := map[uint64]*Event{}
	for e := range of(events, Sample) {
		before := states[e.Index]
		if before == nil {
			states[e.Index] = e
			continue
		}
		if before.Hash != e.Hash {
			wrong = append(wrong, Violation{sameLog, e.End, fmt.Sprintf("at log index %d %s has %s, %s has %s", e.Index, before.Node, before.Hash, e.Node, e.Hash)})
		}
	}
	return wrong
}
