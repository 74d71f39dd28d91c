package memcluster

import (
	"context"
	"sync"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// Ledger is the log and the state of a cluster of one.
type Ledger struct {
	mu      sync.Mutex
	machine *state.Machine
	entries [][]byte // the log; index i is at i-1
	records []state.AuditRecord
	before  func(state.Command) error
	after   func(state.Command) error
}

func newLedger() *Ledger { return &Ledger{machine: state.NewMachine()} }

// View implements registrar.Ledger.
func (l *Ledger) View() *state.View { return l.machine.View() }

// WaitIndex implements registrar.Ledger. An index that is not reached yet is
// waited for until ctx ends: nothing else will reach it.
func (l *Ledger) WaitIndex(ctx context.Context, index uint64) error {
	if index <= l.View().Index() {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// Confirm implements registrar.Ledger: a cluster of one has everything.
func (l *Ledger) Confirm(context.Context) error { return nil }

// Propose implements registrar.Ledger.
func (l *Ledger) Propose(_ context.Context, act broker.Act, c state.Command) (state.Applied, error) {
	before, after := l.hooks()
	if before != nil {
		if err := before(c); err != nil {
			return state.Applied{}, err
		}
	}
	applied, err := l.apply(act, c)
	if err != nil {
		return applied, err
	}
	if after != nil {
		if err := after(c); err != nil {
			return state.Applied{}, err
		}
	}
	if applied.Refusal != nil {
		return applied, applied.Refusal
	}
	return applied, nil
}

func (l *Ledger) apply(act broker.Act, c state.Command) (state.Applied, error) {
	entry, err := state.Encode(act, c)
	if err != nil {
		return state.Applied{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry)
	applied, err := l.machine.Apply(uint64(len(l.entries)), entry)
	if err == nil && !applied.Repeated {
		l.records = append(l.records, applied.Record)
	}
	return applied, err
}

// log is everything that was proposed.
func (l *Ledger) log() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries
}

func (l *Ledger) hooks() (before, after func(state.Command) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.before, l.after
}

// BeforePropose has hook called with each command that is proposed from now
// on; an error keeps it out of the log. nil takes the hook away.
func (l *Ledger) BeforePropose(hook func(state.Command) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = hook
}

// AfterPropose has hook called with each command that is in the log; an error
// is what the proposer hears instead of the outcome. nil takes the hook away.
func (l *Ledger) AfterPropose(hook func(state.Command) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after = hook
}

// Records are the audit trail.
func (l *Ledger) Records() []state.AuditRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]state.AuditRecord(nil), l.records...)
}
