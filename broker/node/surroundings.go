package node

import (
	"cmp"
	"context"
	"net"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/federation/fetch"
)

// Network is how a node is reached and reaches others.
type Network interface {
	Listen(address string) (net.Listener, error)
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// Surroundings are what a node finds outside of itself. The zero value is the
// machine on which it runs; a test may have several nodes in one process, each with
// its own.
type Surroundings struct {
	// Network is used instead of the machine's. The node then opens no sockets in
	// its data directory either: who calls there, only the machine's kernel knows.
	Network Network
	// OpenLog opens the log; nil: replica.OpenLog.
	OpenLog func(dir string) (replica.Store, error)
	// Clock dates what this node proposes and decides when an authority's time has
	// come; nil: time.Now. What is measured from one moment to another is not its.
	Clock func() time.Time
	// Commands is the newest command that this node says it knows; 0: state.NewestCommand.
	Commands uint64
	// SnapshotEntries and TrailingEntries say when the log is shortened, as
	// replica.Options have them.
	SnapshotEntries, TrailingEntries uint64
}

// machineNetwork is the network of the machine.
type machineNetwork struct{ net.Dialer }

// Listen implements Network.
func (*machineNetwork) Listen(address string) (net.Listener, error) {
	return net.Listen("tcp", address)
}

// Dial implements Network.
func (m *machineNetwork) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return m.DialContext(ctx, network, address)
}

func (s Surroundings) network() Network {
	if s.Network == nil {
		return &machineNetwork{}
	}
	return s.Network
}

// fetching is how peers' endpoints are reached; nil: as fetch would by itself.
func (s Surroundings) fetching() fetch.DialFunc {
	if s.Network == nil {
		return nil
	}
	return s.Network.Dial
}

func (s Surroundings) now() time.Time {
	if s.Clock == nil {
		return time.Now()
	}
	return s.Clock()
}

func (s Surroundings) commands() uint64 { return cmp.Or(s.Commands, state.NewestCommand) }

// stamped is the ledger as the registrar has it: what it proposes is dated by the
// node's clock.
type stamped struct {
	*replica.Replica
	now func() time.Time
}

// Propose implements registrar.Ledger.
func (s stamped) Propose(ctx context.Context, act broker.Act, c state.Command) (state.Applied, error) {
	act.At = s.now().UTC()
	return s.Replica.Propose(ctx, act, c)
}

// Registrar is what carries out administrative acts on this node, for those who
// run it in their own process.
func (n *Node) Registrar() *registrar.Registrar { return n.registrar }
