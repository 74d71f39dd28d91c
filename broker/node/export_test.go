package node

import (
	"net"
	"time"

	"github.com/concord-id/concord/ca/issue"
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
