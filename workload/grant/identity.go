package grant

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/workload"
)

// identity is the one key and X.509-SVID that this host has for an entry.
type identity struct {
	entry *workload.Entry
	svid  atomic.Pointer[svid] // nil before the first was signed
	turn  chan struct{}        // holds one: whoever has it may sign

	// The rest is guarded by Grants.mu.
	subjects map[*subject]struct{} // who shows it
	retryAt  time.Time             // after a failed renewal; zero if the last one succeeded
	failures int                   // in a row
}

// svid is a signed key. It never changes.
type svid struct {
	part     []byte // encoded: ID, chain and private key
	epoch    uint64
	renewAt  time.Time
	notAfter time.Time
}

func newIdentity(e *workload.Entry) *identity {
	id := &identity{entry: e, turn: make(chan struct{}, 1), subjects: make(map[*subject]struct{})}
	id.turn <- struct{}{}
	return id
}

// serves reports whether the SVID of id is also right for e: a change of
// selectors, hint or bundles needs no new one.
func (id *identity) serves(e *workload.Entry) bool {
	return id.entry.SPIFFEID == e.SPIFFEID && id.entry.X509TTL == e.X509TTL &&
		id.entry.ExpiresAt.Equal(e.ExpiresAt) && slices.Equal(id.entry.DNSNames, e.DNSNames)
}

// valid returns the SVID if it has not ended, nil otherwise.
func (id *identity) valid(now time.Time) *svid {
	if s := id.svid.Load(); s != nil && now.Before(s.notAfter) {
		return s
	}
	return nil
}

// due is when a new SVID is wanted, false if nobody asked for one yet.
func (id *identity) due(epoch uint64) (time.Time, bool) {
	s := id.svid.Load()
	if s == nil {
		return time.Time{}, false
	}
	at := s.renewAt
	if s.epoch != epoch {
		at = time.Time{}
	}
	if id.retryAt.After(at) {
		at = id.retryAt
	}
	return at, true
}

// ensure returns id's SVID, signing one if there is none. All who ask meanwhile
// wait for the same one, as long as their ctx lasts.
func (g *Grants) ensure(ctx context.Context, id *identity) (*svid, error) {
	if s := id.valid(time.Now()); s != nil {
		return s, nil
	}
	return g.sign(ctx, id, func() *svid { return id.valid(time.Now()) })
}

// renew replaces id's SVID if it is due.
func (g *Grants) renew(ctx context.Context, id *identity) error {
	before := id.svid.Load()
	_, err := g.sign(ctx, id, func() *svid {
		if s := id.svid.Load(); s != before {
			return s
		}
		return nil
	})
	return err
}

// sign makes id's next SVID in its turn, unless enough returns one by then.
func (g *Grants) sign(ctx context.Context, id *identity, enough func() *svid) (*svid, error) {
	select {
	case <-id.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { id.turn <- struct{}{} }()
	if s := enough(); s != nil {
		return s, nil
	}
	if err := g.enter(ctx); err != nil {
		return nil, err
	}
	defer g.leave()
	s, err := g.makeSVID(id.entry)
	if err != nil {
		return nil, fmt.Errorf("issue an X.509-SVID for %s: %w", id.entry.SPIFFEID, err)
	}
	id.svid.Store(s)
	g.signed.Add(1)
	g.expect(s)
	return s, nil
}

// enter waits for a slot to sign in.
func (g *Grants) enter(ctx context.Context) error {
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Grants) leave() { <-g.slots }

// makeSVID makes a private key, which never leaves this process but to the
// workload, and has it signed.
func (g *Grants) makeSVID(e *workload.Entry) (*svid, error) {
	epoch := g.epoch.Load()
	l, err := g.ledger()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	defaultTTL, _ := l.TTLs()
	ttl := lifetime(e, e.X509TTL, defaultTTL, now)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	signed, err := g.signer.X509SVID(ca.X509Request{ID: e.SPIFFEID, PublicKey: key.Public(), DNSNames: e.DNSNames, TTL: ttl})
	if err != nil {
		return nil, err
	}
	if len(signed.Certificates) == 0 || !signed.NotAfter.After(now) {
		return nil, errors.New("the signer returned an SVID that has already ended")
	}
	return &svid{
		part:     svidPart(e.SPIFFEID.String(), slices.Concat(signed.Certificates...), pkcs8),
		epoch:    epoch,
		renewAt:  halfLife(now, signed.NotAfter),
		notAfter: signed.NotAfter,
	}, nil
}

// lifetime is what an SVID of e may live at now: as e says, else as the domain
// does, and not longer than e itself.
func lifetime(e *workload.Entry, asked, byDefault time.Duration, now time.Time) time.Duration {
	ttl := asked
	if ttl == 0 {
		ttl = byDefault
	}
	if !e.ExpiresAt.IsZero() {
		ttl = min(ttl, max(e.ExpiresAt.Sub(now), time.Second))
	}
	return ttl
}

// halfLife is when an SVID that ends at notAfter is renewed: a little before
// half of its life from now, and not at the same moment as its neighbours, so
// that at least half of every life can be lived without a renewal.
func halfLife(now, notAfter time.Time) time.Time {
	left := notAfter.Sub(now)
	early := time.Duration(mathrand.Int64N(int64(left/20) + 1))
	return now.Add(max(left/2-early, minRenewal))
}

// minRenewal keeps lives of a few seconds from filling a core with signing.
const minRenewal = 500 * time.Millisecond
