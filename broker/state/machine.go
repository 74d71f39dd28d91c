package state

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/concord-id/concord/broker"
)

// Applied is what became of a command.
type Applied struct {
	Index    uint64          // where it was decided: of the first application if Repeated
	Subject  string          // what it was about, as in AuditRecord; of the first application if Repeated
	Change   Change          // empty if refused or repeated
	Refusal  *broker.Refusal // nil if it was done
	Record   AuditRecord     // zero if Repeated: the first application has one
	Repeated bool            // its request ID was decided before; Refusal is as it was then
}

// Machine applies the log, in order. Apply and Restore belong to one
// goroutine; View may be called by all.
type Machine struct{ view atomic.Pointer[View] }

// NewMachine returns a machine that has read nothing.
func NewMachine() *Machine {
	var m Machine
	m.view.Store(&View{tables: newTables()})
	return &m
}

// View returns the newest view.
func (m *Machine) View() *View { return m.view.Load() }

// Apply decides the command at index and makes the next View. An error means
// that this node cannot follow the log and must stop: the entry is damaged, of
// a newer version, or out of order. A command that was refused is no error; it
// changes nothing but the audit trail and the memory of requests.
func (m *Machine) Apply(index uint64, entry []byte) (Applied, error) {
	view := m.View()
	if index <= view.index {
		return Applied{}, fmt.Errorf("log entry %d comes after %d: the log is out of order", index, view.index)
	}
	act, command, err := Decode(entry)
	if err != nil {
		return Applied{}, err
	}
	next, applied, err := view.decide(index, act, command)
	if err != nil {
		return Applied{}, fmt.Errorf("%s: %w", command.kind(), err)
	}
	m.view.Store(next)
	return applied, nil
}

// Try decides a command as if it came next, and returns the view that there
// would be. Nothing else sees it. It refuses what Encode refuses.
func (v *View) Try(act broker.Act, c Command) (*View, Applied, error) {
	entry, err := Encode(act, c)
	if err != nil {
		return nil, Applied{}, err
	}
	act, c, err = Decode(entry) // as every node would read it
	if err != nil {
		return nil, Applied{}, err
	}
	return v.decide(v.index+1, act, c)
}

// decide makes the view after a command.
func (v *View) decide(index uint64, act broker.Act, c Command) (*View, Applied, error) {
	first := v.requests.get(act.RequestID)
	if first != nil && first.Kind == c.kind() {
		repeated := Applied{Index: first.Index, Subject: first.Subject, Refusal: first.refusal(), Repeated: true}
		return &View{index, v.head, v.sum, v.tables}, repeated, nil
	}
	d := v.draft(index, act)
	err := reused(act, first)
	if err == nil {
		err = c.apply(d)
	}
	var refusal *broker.Refusal
	switch {
	case errors.As(err, &refusal):
		d = v.draft(index, act) // whatever the command had begun
	case err != nil:
		return nil, Applied{}, err
	}
	next, applied := v.conclude(d, c, refusal)
	return next, applied, nil
}

// reused refuses a request ID under which another kind of command was decided.
func reused(act broker.Act, first *request) error {
	if first == nil {
		return nil
	}
	return broker.Refuse(broker.InvalidArgument, "request ID %.80q was used for %s already: choose another for every request", act.RequestID, first.Kind)
}

func (v *View) draft(index uint64, act broker.Act) *draft {
	return &draft{tables: v.tables.copy(), index: index, act: act, sum: v.sum, touched: make(map[string]struct{})}
}

// conclude writes the outcome into the audit trail and the memory of requests,
// and makes the draft a view.
func (v *View) conclude(d *draft, c Command, refusal *broker.Refusal) (*View, Applied) {
	record := AuditRecord{
		Index: d.index, At: d.act.At, Actor: d.act.Actor, Cause: d.act.Cause, RequestID: d.act.RequestID,
		Kind: c.kind().String(), Subject: c.subject(), Fields: d.auditFields(),
	}
	outcome := &request{ID: d.act.RequestID, Index: d.index, At: d.act.At, Kind: c.kind(), Subject: record.Subject}
	if refusal != nil {
		refusal = keepable(refusal)
		record.Code, record.Detail = refusal.Code, refusal.Detail
		outcome.Code, outcome.Detail = refusal.Code, refusal.Detail
	}
	if v.requests.get(outcome.ID) == nil { // else the first outcome stays
		d.remember(outcome)
	}
	record.Head = ChainHead(v.head, record.Statement())
	applied := Applied{Index: d.index, Subject: record.Subject, Change: d.changes(), Refusal: refusal, Record: record}
	return &View{d.index, record.Head, d.sum, d.tables}, applied
}
