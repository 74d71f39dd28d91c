package memcluster

import (
	"context"
	"sync"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// Member is another member of the cluster: it has as much of the log as it was
// given, and no more.
type Member struct {
	leader *Ledger

	mu      sync.Mutex
	machine *state.Machine
	applied int           // entries
	moved   chan struct{} // closed when it is given more
	waited  func()
}

// Member returns a member that has all that is in the log now.
func (l *Ledger) Member() *Member {
	m := &Member{leader: l, machine: state.NewMachine(), moved: make(chan struct{})}
	m.CatchUp()
	return m
}

// CatchUp gives it everything that is in the log.
func (m *Member) CatchUp() {
	entries := m.leader.log()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, entry := range entries[m.applied:] {
		m.applied++
		if _, err := m.machine.Apply(uint64(m.applied), entry); err != nil {
			panic(err) // the ledger has applied it
		}
	}
	close(m.moved)
	m.moved = make(chan struct{})
}

// OnWait has hook called when somebody begins to wait for what the member does
// not have.
func (m *Member) OnWait(hook func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waited = hook
}

// View implements registrar.Ledger.
func (m *Member) View() *state.View { return m.machine.View() }

// WaitIndex implements registrar.Ledger.
func (m *Member) WaitIndex(ctx context.Context, index uint64) error {
	for {
		m.mu.Lock()
		moved, waited := m.moved, m.waited
		m.mu.Unlock()
		if index <= m.View().Index() {
			return nil
		}
		if waited != nil {
			waited()
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Confirm implements registrar.Ledger: it waits for what the log has now.
func (m *Member) Confirm(ctx context.Context) error {
	return m.WaitIndex(ctx, m.leader.View().Index())
}

// Propose implements registrar.Ledger: it asks the leader.
func (m *Member) Propose(ctx context.Context, act broker.Act, c state.Command) (state.Applied, error) {
	return m.leader.Propose(ctx, act, c)
}
