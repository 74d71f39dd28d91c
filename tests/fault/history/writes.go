package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Operations of a Write.
const (
	Create = "create"
	Change = "change"
	Delete = "delete"
)

// Invariants, as violations name them.
const (
	linearizable = "acknowledged writes are linearizable"
	ordered      = "acknowledged writes are in the log in their order"
	monotonic    = "reads never go back"
	once         = "a request is done at most once, and one record tells of it"
)

// register is one record.
type register struct {
	there    bool
	revision uint64
	value    string
}

// checkTime is how long one record may take to be checked.
const checkTime = 30 * time.Second

// lost finds records whose writes and reads no order explains: an acknowledged
// write is gone or done twice, a refused one is there, a record is not found that
// was never deleted. A write whose outcome nobody knows may have been done at any
// time since, or never.
func lost(events []Event) (wrong []Violation) {
	operations := map[string][]porcupine.Operation{}
	last := map[string]time.Duration{}
	for i := range events {
		e := &events[i]
		if e.Kind != Write && (e.Kind != Read || e.Outcome == Unknown || e.Outcome == Done && e.Op != Last) {
			continue
		}
		end := int64(e.End)
		if e.Outcome == Unknown {
			end = math.MaxInt64
		}
		operations[e.Key] = append(operations[e.Key], porcupine.Operation{Input: e, Output: e, Call: int64(e.Begin), Return: end})
		last[e.Key] = max(last[e.Key], e.End)
	}
	model := porcupine.Model{
		Init: func() any { return register{} },
		Step: func(state, input, _ any) (bool, any) { return state.(register).step(input.(*Event)) },
	}
	for key, history := range operations {
		switch porcupine.CheckOperationsTimeout(model, history, checkTime) {
		case porcupine.Illegal:
			wrong = append(wrong, Violation{linearizable, last[key], key + ": " + story(history)})
		case porcupine.Unknown:
			wrong = append(wrong, Violation{linearizable, last[key], fmt.Sprintf("%s: %d requests could not be checked within %s", key, len(history), checkTime)})
		}
	}
	return wrong
}

// Last is the Op of a read that is made when everything else is over.
const Last = "last"

// step is what a request may do to the record, and whether it may have had its outcome.
func (r register) step(e *Event) (bool, register) {
	if e.Kind == Read {
		if e.Outcome != Done {
			return !r.there, r
		}
		return r.there && r.value == e.Value && r.revision == e.Revision, r
	}
	after, may := r.write(e)
	switch e.Outcome {
	case Unknown:
		if !may {
			after = r
		}
		return true, after
	case Done:
		return may && (e.Op == Delete || e.Later || after.revision == e.Revision), after
	}
	return !may, r
}

// write is the record after a write, and whether it may be done.
func (r register) write(e *Event) (after register, may bool) {
	switch e.Op {
	case Create:
		return register{there: true, value: e.Value}, !r.there
	case Change:
		return register{true, r.revision + 1, e.Value}, r.there && (e.If == nil || *e.If == r.revision)
	}
	return register{}, r.there
}

// story tells the requests of one record, in the order in which they were asked for.
func story(history []porcupine.Operation) string {
	var b strings.Builder
	for _, o := range slices.SortedFunc(slices.Values(history), func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) }) {
		e := o.Input.(*Event)
		fmt.Fprintf(&b, "[%s–%s %s %s", e.Begin.Round(time.Millisecond), e.End.Round(time.Millisecond), e.Node, cmp.Or(e.Op, string(e.Kind)))
		if e.If != nil {
			fmt.Fprintf(&b, " if %d", *e.If)
		}
		fmt.Fprintf(&b, " %q: %s, revision %d] ", e.Value, e.Outcome, e.Revision)
	}
	return b.String()
}

// unordered finds writes that are in the log before others that had been
// acknowledged when they were asked for.
func unordered(events []Event) (wrong []Violation) {
	var done []*Event
	for e := range of(events, Write) {
		if e.Outcome == Done {
			done = append(done, e)
		}
	}
	ended := slices.SortedFunc(slices.Values(done), func(a, b *Event) int { return cmp.Compare(a.End, b.End) })
	begun := slices.SortedFunc(slices.Values(done), func(a, b *Event) int { return cmp.Compare(a.Begin, b.Begin) })
	var newest *Event // of those that ended before the one that begins
	for _, e := range begun {
		for len(ended) > 0 && ended[0].End < e.Begin {
			if newest == nil || ended[0].Index > newest.Index {
				newest = ended[0]
			}
			ended = ended[1:]
		}
		if newest != nil && newest.Index >= e.Index {
			wrong = append(wrong, Violation{ordered, e.Begin, fmt.Sprintf("%s of %s was asked for after %s of %s was acknowledged with log index %d, and has %d",
				e.Op, e.Key, newest.Op, newest.Key, newest.Index, e.Index)})
		}
	}
	return wrong
}
