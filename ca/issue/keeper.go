package issue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/concord-id/concord/ca"
)

// Ledger is the committed truth about authorities, as much of it as a Keeper
// needs.
type Ledger interface {
	// Authorities are those of one use that are in the committed bundle.
	Authorities(use ca.Use) []ca.Authority
	Terms() ca.Terms
	// Wait returns nil when what the other methods say may have changed since
	// it was called last, and ctx's error when ctx ends.
	Wait(ctx context.Context) error
}

// RootSigner gets the domain's active root to sign this node's intermediate:
// on the leader by LocalRoot, elsewhere by asking the leader.
type RootSigner interface {
	// SignIntermediate answers a DER certificate request with a DER
	// certificate and the ID of the root authority that signed it.
	SignIntermediate(ctx context.Context, csr []byte) (der []byte, authorityID string, err error)
}

// Pace of a Keeper.
const (
	turnJitter = time.Second            // after an activation, nodes do not ask the leader all at once
	firstRetry = 100 * time.Millisecond // doubled with every failure
	lastRetry  = 10 * time.Second
	askTimeout = 10 * time.Second
)

// Keeper keeps this node able to sign: it holds the active JWT key opened and
// an intermediate of the active root, and gives both to the Issuer. It renews
// the intermediate at half of its life, and within a second or so after
// another root became active. What it gave is taken back at once when its
// authority is no longer in the committed bundle.
type Keeper struct {
	issuer *Issuer
	domain Domain
	ledger Ledger
	root   RootSigner
	log    *slog.Logger
	turned func(ca.Use)

	trouble atomic.Pointer[error] // what Trouble answers; written by Run

	// The fields below are owned by Run.
	x509 holding
	jwt  holding
}

// Options of a Keeper.
type Options struct {
	Issuer *Issuer
	Domain Domain // its KeyType is also the intermediate's
	Ledger Ledger
	Root   RootSigner
	Log    *slog.Logger
	// Turned is called, by Run, after the Issuer began to sign by another
	// authority or stopped: open SVIDs of that use are to be signed anew. A
	// renewal by the same authority is no turn. May be nil.
	Turned func(use ca.Use)
}

// NewKeeper returns a Keeper that does nothing before Run.
func NewKeeper(o Options) *Keeper {
	k := &Keeper{issuer: o.Issuer, domain: o.Domain, ledger: o.Ledger, root: o.Root, log: o.Log, turned: o.Turned}
	if k.turned == nil {
		k.turned = func(ca.Use) {}
	}
	return k
}

// Trouble is why the last attempt to hold something failed; nil if all is well.
func (k *Keeper) Trouble() error {
	if err := k.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// Run keeps until ctx ends, and then returns nil; it fails if the ledger does.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		wake := k.keep(ctx)
		wait, cancel := context.WithDeadline(ctx, wake)
		err := k.ledger.Wait(wait)
		timedOut := wait.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !timedOut:
			return fmt.Errorf("watch the authorities: %w", err)
		}
	}
}

// keep looks at both uses once, and says when to look again.
func (k *Keeper) keep(ctx context.Context) time.Time {
	k.keepJWT()
	k.keepX509(ctx)
	trouble := errors.Join(k.jwt.err, k.x509.err)
	k.trouble.Store(&trouble)
	return earliest(k.jwt.wake(), k.x509.wake())
}

// keepJWT opens the active JWT authority's key if it is not the one held.
func (k *Keeper) keepJWT() {
	now := time.Now()
	authorities := k.ledger.Authorities(ca.JWT)
	if k.jwt.drop(authorities, now) {
		k.issuer.SetJWT(nil)
		k.turn(ca.JWT, "no longer signs", "")
	}
	active, ok := activeOf(authorities)
	if !ok || k.jwt.authorityID == active.ID || now.Before(k.jwt.retry) {
		return
	}
	signer, err := k.domain.Open(active)
	var key *JWTKey
	if err == nil {
		key, err = NewJWTKey(k.domain.TrustDomain, active, signer)
	}
	if err != nil {
		k.failed(&k.jwt, fmt.Errorf("open the domain's JWT authority: %w", err))
		return
	}
	k.issuer.SetJWT(key)
	k.jwt = holding{authorityID: active.ID, end: active.NotAfter}
	k.turn(ca.JWT, "signs", active.ID)
}

// keepX509 asks for a new intermediate when it is time to.
func (k *Keeper) keepX509(ctx context.Context) {
	now := time.Now()
	authorities := k.ledger.Authorities(ca.X509)
	if k.x509.drop(authorities, now) {
		k.issuer.SetX509(nil)
		k.turn(ca.X509, "no longer signs", "")
	}
	active, ok := activeOf(authorities)
	if !ok || !k.x509.isDue(active.ID, now) {
		return
	}
	in, err := k.newIntermediate(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		k.failed(&k.x509, fmt.Errorf("get an intermediate: %w", err))
		return
	}
	before := k.x509.authorityID
	k.issuer.SetX509(in)
	k.x509 = holding{authorityID: in.AuthorityID(), end: in.NotAfter(), renewal: renewal(in, time.Now())}
	if before != in.AuthorityID() {
		k.turn(ca.X509, "signs", in.AuthorityID())
	}
}

// newIntermediate makes a key that never leaves this process, has the active
// root sign for it, and refuses an answer by a root that is not in the
// committed bundle as this node knows it.
func (k *Keeper) newIntermediate(ctx context.Context) (*Intermediate, error) {
	signer, csr, err := newRequest(k.domain.KeyType)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	der, authorityID, err := k.root.SignIntermediate(ctx, csr)
	if err != nil {
		return nil, err
	}
	in, err := NewIntermediate(der, signer, authorityID)
	if err != nil {
		return nil, err
	}
	if in.td != k.domain.TrustDomain {
		return nil, fmt.Errorf("the intermediate is of trust domain %s, not %s", in.td, k.domain.TrustDomain)
	}
	// The authorities are read again: the answer took time.
	if err := signedBy(in, k.ledger.Authorities(ca.X509)); err != nil {
		return nil, err
	}
	return in, nil
}

func (k *Keeper) failed(h *holding, err error) {
	wait := min(lastRetry, firstRetry<<min(h.failures, 10))
	h.retry, h.err = time.Now().Add(wait), err
	h.failures++
	k.log.Warn("this node does not hold all that it signs with", "error", err, "failures", h.failures, "retry_in", wait)
}

func (k *Keeper) turn(use ca.Use, what, authorityID string) {
	k.log.Info("this node "+what, "use", use.String(), "authority", authorityID)
	k.turned(use)
}
