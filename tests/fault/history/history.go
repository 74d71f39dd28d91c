// Package history is what happened to a cluster, seen from outside of it, and
// what of that must never happen. It knows nothing of how a history comes about,
// so that one that was kept can be looked at again.
package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Kind is what an event tells of.
type Kind string

// The kinds, and the fields that each uses beside Begin, End, Client and Node.
const (
	// Write is a request for a change: Op, Key, Value, If, Outcome, Revision, Later, Index, Request.
	Write Kind = "write"
	// Read is a request for a record: Key, Value, Seen, Outcome, Revision.
	Read Kind = "read"
	// Document is an answer of a bundle endpoint: Client, Way, Sequence, Hash, Keys, Outcome, Aged.
	Document Kind = "document"
	// SVID is one that a workload got: Use, Keys (its authority).
	SVID Kind = "svid"
	// Delivery is a bundle of another domain that a workload got: Domain, Keys; Client is the stream.
	Delivery Kind = "delivery"
	// Published says that a domain's endpoint serves other keys from now on: Domain, Keys, Sequence.
	Published Kind = "published"
	// Sample is a member's state: Index, Hash.
	Sample Kind = "sample"
	// Audited is a record of the audit trail of a node: Index, Hash (head of the chain), Request,
	// Key (subject), Op (its kind), Outcome, Value (of the change).
	Audited Kind = "audited"
	// Fault is something that was done to the cluster: Group, Op (its name), Node.
	Fault Kind = "fault"
	// Start is a new life of a node.
	Start Kind = "start"
	// Stale is a time in which a node had surely heard no leader for longer than its limit.
	Stale Kind = "stale"
	// Wrong is what whoever made the history has seen to be wrong at once: Value.
	Wrong Kind = "wrong"
)

// Outcomes of a request. A refusal is its code.
const (
	Done    = "done"
	Unknown = "unknown" // no answer, or one that leaves it open
)

// Event is something that was seen. Begin and End are since the history's
// begin: when it was asked for and when it was known.
type Event struct {
	Kind   Kind          `json:"kind"`
	Begin  time.Duration `json:"begin"`
	End    time.Duration `json:"end"`
	Client string        `json:"client,omitempty"`
	Node   string        `json:"node,omitempty"`

	Op       string   `json:"op,omitempty"`
	Key      string   `json:"key,omitempty"`
	Value    string   `json:"value,omitempty"`
	If       *uint64  `json:"if,omitempty"` // the revision that must be there
	Outcome  string   `json:"outcome,omitempty"`
	Revision uint64   `json:"revision,omitempty"`
	Later    bool     `json:"later,omitempty"` // the answer shows what somebody has changed again: Revision is not the write's
	Index    uint64   `json:"index,omitempty"`
	Seen     uint64   `json:"seen,omitempty"` // the newest index that the client had seen, and said so
	Request  string   `json:"request,omitempty"`
	Way      string   `json:"way,omitempty"` // Kept, Tagged or Fresh
	Sequence uint64   `json:"sequence,omitempty"`
	Hash     string   `json:"hash,omitempty"`
	Keys     []string `json:"keys,omitempty"`
	Use      string   `json:"use,omitempty"`
	Domain   string   `json:"domain,omitempty"`
	Aged     bool     `json:"aged,omitempty"` // it said that it may be old
	Group    string   `json:"group,omitempty"`
}

// How a client asks a bundle endpoint.
const (
	Kept   = "kept"   // on one connection to one node
	Tagged = "tagged" // at any node, with the tag of what it has
	Fresh  = "fresh"  // at any node, with nothing
)

// Violation is what must not be.
type Violation struct {
	Invariant string
	At        time.Duration
	What      string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: at %s: %s", v.Invariant, v.At.Round(time.Millisecond), v.What)
}

// Check returns everything in a history that must not be.
func Check(events []Event) []Violation {
	var all []Violation
	for _, check := range []func([]Event) []Violation{
		wrongs, lost, unordered, unread, twice, unlike, backward, unpublished, misdelivered, overdue,
	} {
		all = append(all, check(events)...)
	}
	return all
}

// wrongs are what was seen to be wrong at once.
func wrongs(events []Event) (wrong []Violation) {
	for e := range of(events, Wrong) {
		wrong = append(wrong, Violation{e.Op, e.Begin, e.Value})
	}
	return wrong
}

// of are the events of one kind, in their order.
func of(events []Event, kind Kind) iter.Seq[*Event] {
	return func(yield func(*Event) bool) {
		for i := range events {
			if events[i].Kind == kind && !yield(&events[i]) {
				return
			}
		}
	}
}

// Writer keeps a history as lines of JSON.
type Writer struct {
	out     *bufio.Writer
	encoder *json.Encoder
}

// NewWriter returns a writer to out.
func NewWriter(out io.Writer) *Writer {
	w := bufio.NewWriterSize(out, 1<<16)
	return &Writer{w, json.NewEncoder(w)}
}

// Write keeps one event.
func (w *Writer) Write(e Event) error { return w.encoder.Encode(e) }

// Flush writes what is not written yet.
func (w *Writer) Flush() error { return w.out.Flush() }

// ReadAll reads a history that was kept.
func ReadAll(in io.Reader) ([]Event, error) {
	var events []Event
	for decoder := json.NewDecoder(bufio.NewReader(in)); ; {
		var e Event
		switch err := decoder.Decode(&e); {
		case errors.Is(err, io.EOF):
			return events, nil
		case err != nil:
			return nil, fmt.Errorf("event %d of the history: %w", len(events)+1, err)
		}
		events = append(events, e)
	}
}
