package node

import (
	"context"
	"net"
	"time"

	"github.com/hashicorp/raft"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
	"github.com/concord-id/concord/federation/endpoint"
	"github.com/concord-id/concord/workload/grant"
)

// What the tests look at from inside.
var FirstBytes = func(conn net.Conn) ([]byte, error) { return firstBytes(conn) }

const (
	PrefaceTimeout = prefaceTimeout
	HandoverTime   = handoverTime
)

// Unstarted is a node of which nothing runs; it has an issuer with nothing to sign with.
func Unstarted() *Node { return &Node{issuer: issue.New()} }

// Signed does what needs the issuer.
func (n *Node) Signed(do func(now time.Time) (string, error)) (string, error) { return signed(n, do) }

// Turn tells those who wait that the issuer turned.
func (n *Node) Turn(able bool) { n.handover.end(able) }

// Knowing is a node of which nothing runs, and which knows what r does.
func Knowing(r *replica.Replica, agent spiffeid.ID, maxStaleness time.Duration) *Node {
	return &Node{issuer: issue.New(), replica: r, truth: truth{replica: r, agent: agent, maxStaleness: maxStaleness}}
}

// What a node is to its machines.
func (n *Node) Agent() spiffeid.ID            { return n.truth.agent }
func (n *Node) Issuer() *issue.Issuer         { return n.issuer }
func (n *Node) Ledger() (grant.Ledger, error) { return n.truth.Ledger() }
func (n *Node) Signer() grant.Signer          { return signer{n} }
func (n *Node) OwnBundle() endpoint.Source    { return ownBundle{n.truth} }

// What a node does with key-encryption keys.
const (
	KeepKEKCall = keepKEKCall
	GiveKEKCall = giveKEKCall
)

// Answer answers a call of another member.
func (n *Node) Answer(ctx context.Context, from replica.Peer, name string, body []byte) ([]byte, error) {
	return n.replica.Answer(ctx, from, name, body)
}

// Propose has the log hold a command, in the name of the node.
func (n *Node) Propose(ctx context.Context, c state.Command) error {
	applied, err := n.replica.Propose(ctx, n.act("a test"), c)
	if err != nil {
		return err
	}
	return n.replica.WaitIndex(ctx, applied.Index)
}

// View is what the node knows, and ID who it is.
func (n *Node) View() *state.View { return n.replica.View() }
func (n *Node) ID() raft.ServerID { return n.replica.ID() }

// KEKStore is the key-encryption keys in the files of a data directory.
type KEKStore struct{ *kekStore }

// OpenKEKStore opens them.
func OpenKEKStore(dir string) (KEKStore, error) {
	k, _, err := openKEKStore(dataDir(dir))
	return KEKStore{k}, err
}

// Successor is the ID of one that may take the place of that of now.
func (k KEKStore) Successor(after, removed uint64) (string, error) {
	s, _, err := k.successor(after, removed)
	return s.id, err
}

func (k KEKStore) Keep(after, removed uint64, kek []byte) error {
	return k.keep(successor{after, removed, keys.KEKID(kek)}, kek)
}
func (k KEKStore) Use(id string, index uint64) (bool, error) {
	return k.use(state.Sealing{KEK: id, Index: index})
}
func (k KEKStore) Seals() string    { return k.ring.Sealing().ID() }
func (k KEKStore) Others() []string { return k.ring.Others() }
