// Package issue signs: SVIDs by what this node holds in memory, the node's
// intermediate and new roots by the domain's keys. It refuses to sign without
// a published authority, for another trust domain, and past its own end; every
// field of an SVID comes from the request, only the public key from the
// workload.
//
// Issuer is the hot path: it reads two pointers and writes nothing. Keeper is
// the one machine that swaps them. Domain makes authorities and signs
// intermediates, which is rare.
package issue

import (
	"crypto"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/concord-id/concord/ca"
)

// ErrNotReady is ca.ErrNotReady: there is nothing to sign with yet. It passes.
var ErrNotReady = ca.ErrNotReady

// Backdate is how long before its making an SVID becomes valid, because
// clocks differ.
const Backdate = ca.JWTLeeway

// Keys are the private keys of a domain; a key manager has these methods.
type Keys interface {
	Generate(b ca.Binding, kt ca.KeyType) (crypto.Signer, []byte, error)
	Open(b ca.Binding, sealed []byte) (crypto.Signer, error)
}

// Issuer signs SVIDs with what it was given last. Its methods may be called
// from everywhere at once and never wait for each other.
type Issuer struct {
	x509 atomic.Pointer[Intermediate]
	jwt  atomic.Pointer[JWTKey]
}

// New returns an Issuer that is not ready.
func New() *Issuer { return &Issuer{} }

// SetX509 signs X.509-SVIDs with intermediate from now on; nil stops that.
func (i *Issuer) SetX509(intermediate *Intermediate) { i.x509.Store(intermediate) }

// SetJWT signs JWT-SVIDs with key from now on; nil stops that.
func (i *Issuer) SetJWT(key *JWTKey) { i.jwt.Store(key) }

// X509 is the intermediate in use; nil if there is none.
func (i *Issuer) X509() *Intermediate { return i.x509.Load() }

// JWT is the key in use; nil if there is none.
func (i *Issuer) JWT() *JWTKey { return i.jwt.Load() }

// Ready says why this Issuer cannot sign both kinds of SVIDs at now; nil if it
// can. The error is ErrNotReady.
func (i *Issuer) Ready(now time.Time) error {
	_, err := i.intermediate(now)
	_, jwtErr := i.jwtKey(now)
	return errors.Join(err, jwtErr)
}

func (i *Issuer) intermediate(now time.Time) (*Intermediate, error) {
	switch in := i.x509.Load(); {
	case in == nil:
		return nil, fmt.Errorf("%w: it has no intermediate from the domain's root", ErrNotReady)
	case !now.Before(in.NotAfter()):
		return nil, fmt.Errorf("%w: its intermediate ended at %s", ErrNotReady, in.NotAfter().UTC().Format(time.RFC3339))
	default:
		return in, nil
	}
}

func (i *Issuer) jwtKey(now time.Time) (*JWTKey, error) {
	switch key := i.jwt.Load(); {
	case key == nil:
		return nil, fmt.Errorf("%w: it has not opened the domain's JWT key", ErrNotReady)
	case !now.Before(key.notAfter):
		return nil, fmt.Errorf("%w: the domain's JWT authority ended at %s", ErrNotReady, key.notAfter.UTC().Format(time.RFC3339))
	default:
		return key, nil
	}
}
