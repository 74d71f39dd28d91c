package node

import (
	"net"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/ca/issue"
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
