// Package registrar is every administrative act, once: the right of the
// caller, the validation, the proposal, the wait, the reading back. REST, the
// SPIRE API and the node's own machines come through here, so that none of
// them decides who may do what. It never shows a sealed key, and everything
// that it changes carries its author into the audit trail.
package registrar

import (
	"context"
	"log/slog"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// Ledger is the replicated truth.
type Ledger interface {
	// Propose commits c and returns what it did. The error is a
	// *broker.Refusal if c was refused, or was not or may not have been
	// committed (Unavailable).
	Propose(ctx context.Context, act broker.Act, c state.Command) (state.Applied, error)
	// View is the newest that this node has applied.
	View() *state.View
	// WaitIndex waits until this node has applied index.
	WaitIndex(ctx context.Context, index uint64) error
	// Confirm waits until this node has everything that was committed when it was
	// called; it fails with Unavailable without a leader.
	Confirm(ctx context.Context) error
}

// Peers is what follows the bundles of other domains.
type Peers interface {
	// Refresh polls td now and returns how it went.
	Refresh(ctx context.Context, td spiffeid.TrustDomain) (federation.Status, error)
	// Status is how td fares; false if nothing follows it yet.
	Status(td spiffeid.TrustDomain) (federation.Status, bool)
}

// Signer signs SVIDs with what this node has, or returns ca.ErrNotReady.
type Signer interface {
	X509SVID(ca.X509Request) (ca.X509SVID, error)
	JWTSVID(ca.JWTRequest) (ca.JWTSVID, error)
}

// Keys makes authorities.
type Keys interface {
	// NewAuthority makes a key of kind for use, seals it, and returns the
	// authority as Prepared, its life bounded by the domain's settings.
	NewAuthority(ctx context.Context, use ca.Use, kind ca.KeyType) (ca.Authority, error)
}

// Parts are what a Registrar works with; it needs all of them.
type Parts struct {
	Ledger Ledger
	Peers  Peers
	Signer Signer
	Keys   Keys
	Trail  Trail
	// Cluster is the other members.
	Cluster Cluster
	Node    func() NodeStatus // this node, now
	// Staleness is how long a node without a leader goes on issuing; an old
	// authority vouches that much longer.
	Staleness time.Duration
	Log       *slog.Logger
	Level     *slog.LevelVar // of Log and every other logger of this process
}

// Registrar carries out administrative acts. Its methods may be called by any
// number of goroutines. Each takes the Caller and answers PermissionDenied
// before it looks at anything else; each error that is for the caller is a
// *broker.Refusal, any other is internal.
type Registrar struct {
	parts  Parts
	launch slog.Level
}

// New returns a Registrar. The level that Parts.Level has now is the one that
// ResetLogLevel goes back to.
func New(p Parts) *Registrar {
	return &Registrar{parts: p, launch: p.Level.Level()}
}
