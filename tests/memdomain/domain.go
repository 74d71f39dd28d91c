// Package memdomain is a trust domain in memory, with real keys and a real
// issuer, for the tests and benchmarks of what serves workloads. It has no log
// and no disk: whoever changes it is the only author.
package memdomain

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/grant"
)

// The lifetimes of SVIDs whose entry does not name one.
const (
	X509TTL = time.Hour
	JWTTTL  = 5 * time.Minute
)

// Domain is a trust domain: grant.Source and grant.Signer in one.
type Domain struct {
	t      testing.TB
	td     spiffeid.TrustDomain
	maker  issue.Domain
	issuer *issue.Issuer

	mu       sync.Mutex
	now      *cut
	changed  func(grant.Change)
	notReady error // what Ledger fails with
	unsigned error // what signing fails with
	roots    []ca.Authority
	jwtKeys  []ca.Authority
	sequence uint64
}

// New founds the trust domain called name.
func New(t testing.TB, name string) *Domain {
	t.Helper()
	d := &Domain{t: t, td: spiffeid.RequireTrustDomainFromString(name), issuer: issue.New(), changed: func(grant.Change) {}}
	d.maker = issue.Domain{Keys: keys.NewMemory(), Cluster: "test", TrustDomain: d.td, KeyType: ca.P256}
	d.now = &cut{td: d.td, foreign: map[spiffeid.TrustDomain]*federation.Published{}}
	d.roots = []ca.Authority{d.authority(ca.X509)}
	d.jwtKeys = []ca.Authority{d.authority(ca.JWT)}
	d.useRoot(d.roots[0])
	d.useJWT(d.jwtKeys[0])
	d.publish()
	return d
}

// TrustDomain is the domain's name.
func (d *Domain) TrustDomain() spiffeid.TrustDomain { return d.td }

// ID returns the SPIFFE ID with a path in this domain.
func (d *Domain) ID(path string) spiffeid.ID { return spiffeid.RequireFromPath(d.td, path) }

// Follow has changed called with every change from now on.
func (d *Domain) Follow(changed func(grant.Change)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed = changed
}

// Bundle is the domain's own bundle, as other domains fetch it.
func (d *Domain) Bundle() *federation.Published {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now.own
}

// Ledger implements grant.Source.
func (d *Domain) Ledger() (grant.Ledger, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.notReady != nil {
		return nil, d.notReady
	}
	return d.now, nil
}

// X509SVID implements grant.Signer.
func (d *Domain) X509SVID(r ca.X509Request) (ca.X509SVID, error) {
	if err := d.signingFails(); err != nil {
		return ca.X509SVID{}, err
	}
	return d.issuer.X509SVID(r, time.Now())
}

// JWTSVID implements grant.Signer.
func (d *Domain) JWTSVID(r ca.JWTRequest) (ca.JWTSVID, error) {
	if err := d.signingFails(); err != nil {
		return ca.JWTSVID{}, err
	}
	return d.issuer.JWTSVID(r, time.Now())
}

func (d *Domain) signingFails() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unsigned
}

// FailLedger makes Ledger fail with err; nil heals it.
func (d *Domain) FailLedger(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notReady = err
}

// FailSigning makes both kinds of signing fail with err; nil heals it.
func (d *Domain) FailSigning(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsigned = err
}

// Put makes or replaces an entry. What it leaves out is filled in: the ID from
// the path, and one selector, test:<path>.
func (d *Domain) Put(e workload.Entry) *workload.Entry {
	if e.ID == "" {
		e.ID = "entry" + e.SPIFFEID.Path()[1:]
	}
	if len(e.Selectors) == 0 {
		e.Selectors = Selectors(e.SPIFFEID.Path())
	}
	e.CreatedAt = d.createdAt(e)
	e = e.Canonical(d.td)
	if err := e.Validate(d.td); err != nil {
		d.t.Error(err)
	}
	d.commit(grant.Change{Entries: true}, func(next *cut) {
		next.entries = slices.DeleteFunc(slices.Clone(next.entries), func(old *workload.Entry) bool { return old.ID == e.ID })
		next.entries = append(next.entries, &e)
	})
	return &e
}

// createdAt is when e was made: as it says, else when the one that it replaces
// was, else now.
func (d *Domain) createdAt(e workload.Entry) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !e.CreatedAt.IsZero() {
		return e.CreatedAt
	}
	for _, old := range d.now.entries {
		if old.ID == e.ID {
			return old.CreatedAt
		}
	}
	return time.Now()
}

// Delete removes an entry.
func (d *Domain) Delete(id string) {
	d.commit(grant.Change{Entries: true}, func(next *cut) {
		next.entries = slices.DeleteFunc(slices.Clone(next.entries), func(old *workload.Entry) bool { return old.ID == id })
	})
}

// SetBundle takes p as the bundle of its domain; DropBundle forgets one.
func (d *Domain) SetBundle(p *federation.Published) {
	td := p.Bundle.TrustDomain
	d.commit(grant.Change{Bundles: []spiffeid.TrustDomain{td}}, func(next *cut) { next.set(td, p) })
}

// DropBundle forgets td's bundle.
func (d *Domain) DropBundle(td spiffeid.TrustDomain) {
	d.commit(grant.Change{Bundles: []spiffeid.TrustDomain{td}}, func(next *cut) { next.set(td, nil) })
}

// PrepareRoot publishes the next X.509 authority, which signs nothing yet.
func (d *Domain) PrepareRoot() {
	next := d.authority(ca.X509)
	d.mu.Lock()
	d.roots = append(d.roots, next)
	d.mu.Unlock()
	d.publish()
}

// ActivateRoot signs with the newest X.509 authority from now on, and returns its ID.
func (d *Domain) ActivateRoot() string {
	d.mu.Lock()
	root := d.roots[len(d.roots)-1]
	d.mu.Unlock()
	d.useRoot(root)
	d.commit(grant.Change{Signing: true}, func(*cut) {})
	return root.ID
}

// DropOldRoots removes all X.509 authorities from the bundle but the newest.
func (d *Domain) DropOldRoots() {
	d.mu.Lock()
	d.roots = d.roots[len(d.roots)-1:]
	d.mu.Unlock()
	d.publish()
}

// AddJWTKey publishes one more JWT authority.
func (d *Domain) AddJWTKey() {
	next := d.authority(ca.JWT)
	d.mu.Lock()
	d.jwtKeys = append(d.jwtKeys, next)
	d.mu.Unlock()
	d.publish()
}

// Selectors returns the selectors test:<value>, sorted.
func Selectors(values ...string) []attest.Selector {
	var out []attest.Selector
	for _, v := range values {
		out = append(out, attest.Selector{Type: "test", Value: v})
	}
	return attest.Sort(out)
}

// authority makes an authority that lives long enough for every test.
func (d *Domain) authority(use ca.Use) ca.Authority {
	a, err := d.maker.NewAuthority(use, 365*24*time.Hour, time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	return a
}

// useRoot makes an intermediate below root and signs with it.
func (d *Domain) useRoot(root ca.Authority) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	der, err := d.maker.SignIntermediate(root, key.Public(), 300*24*time.Hour, time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	intermediate, err := issue.NewIntermediate(der, key, root.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	d.issuer.SetX509(intermediate)
}

func (d *Domain) useJWT(a ca.Authority) {
	signer, err := d.maker.Open(a)
	if err != nil {
		d.t.Fatal(err)
	}
	key, err := issue.NewJWTKey(d.td, a, signer)
	if err != nil {
		d.t.Fatal(err)
	}
	d.issuer.SetJWT(key)
}

// publish makes the bundle of the authorities there are.
func (d *Domain) publish() {
	d.mu.Lock()
	d.sequence++
	b := &federation.Bundle{TrustDomain: d.td, Sequence: d.sequence, Sequenced: true, Hint: time.Minute, Hinted: true}
	for _, root := range d.roots {
		cert, err := root.Certificate()
		if err != nil {
			d.t.Error(err)
		}
		b.X509 = append(b.X509, cert)
	}
	for _, a := range d.jwtKeys {
		key, err := a.PublicKey()
		if err != nil {
			d.t.Error(err)
		}
		b.JWT = append(b.JWT, federation.JWTAuthority{ID: a.ID, Key: key})
	}
	d.mu.Unlock()
	p, err := federation.Publish(b)
	if err != nil {
		d.t.Error(err)
	}
	d.commit(grant.Change{Own: true}, func(next *cut) { next.own = p })
}

// commit makes the next cut and tells of it.
func (d *Domain) commit(c grant.Change, change func(next *cut)) {
	d.mu.Lock()
	next := *d.now
	next.index++
	change(&next)
	d.now = &next
	changed := d.changed
	d.mu.Unlock()
	changed(c)
}
