package fetch

import (
	"context"
	"crypto/sha256"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

// View is one committed cut of the truth, as much of it as polling needs.
type View interface {
	// TrustDomain is our own.
	TrustDomain() spiffeid.TrustDomain
	// Relationships returns every relationship, in any order.
	Relationships() []federation.Relationship
	// Relationship returns the one with td, false if there is none.
	Relationship(td spiffeid.TrustDomain) (federation.Relationship, bool)
	// Bundle returns the bundle of td, our own domain's too; nil if there is none.
	Bundle(td spiffeid.TrustDomain) *federation.Published
	// Holder returns the domain that has the key in its bundle, ours included;
	// false if none has.
	Holder(key federation.KeyHash) (spiffeid.TrustDomain, bool)
}

// Ledger gives the latest View, and wakes whoever waits for a later one.
type Ledger interface {
	View() View
	// Watch begins now: the first Wait returns for a change after this call.
	Watch() Watcher
}

// Watcher waits for changes. One goroutine uses it.
type Watcher interface {
	// Wait blocks until something changed since the last Wait, and returns all
	// of that as one Change; or it returns ctx's error, or why there is nothing
	// more to come.
	Wait(ctx context.Context) (Change, error)
	Close()
}

// Change says what may be different.
type Change struct {
	Everything    bool                   // look at all again; the lists mean nothing then
	Relationships []spiffeid.TrustDomain // created, changed or removed
	Bundles       []spiffeid.TrustDomain // likewise, our own too
}

// Store commits what a fetch brought.
type Store interface {
	// PutBundle replaces the bundle of bundle.Bundle.TrustDomain if the document
	// stored until now has SHA-256 expect; if expect is zero, if there was none.
	// It returns once the bundle is durable and shown by the Ledger of this
	// node. On an error the outcome may be unknown: the Ledger tells.
	PutBundle(ctx context.Context, bundle *federation.Published, expect [sha256.Size]byte) error
}
