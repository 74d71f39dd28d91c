package ca

import (
	"crypto"
	"crypto/x509/pkix"
	"errors"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// ErrNotReady is returned while this node has nothing to sign with, or may not
// sign because its view of the domain is too old. It passes; a caller retries.
var ErrNotReady = errors.New("this node cannot sign yet")

// X509Request is what an X.509-SVID is to say. All of it comes from the entry,
// only PublicKey comes from the caller (XS, RELIABILITY §1 row 1).
type X509Request struct {
	ID        spiffeid.ID
	PublicKey crypto.PublicKey
	DNSNames  []string      // the first is also the subject's common name
	TTL       time.Duration // bounded by the issuer's own end
	Subject   *pkix.Name    // nil: the default subject; only Mint sets one
}

// X509SVID is a signed identity, without its private key.
type X509SVID struct {
	ID           spiffeid.ID
	Certificates [][]byte // DER, leaf first, the root not included
	AuthorityID  string   // the root authority that it chains to
	NotBefore    time.Time
	NotAfter     time.Time
}

// JWTRequest is what a JWT-SVID is to say.
type JWTRequest struct {
	ID       spiffeid.ID
	Audience []string // at least one, none empty (JWT-SVID §3.2)
	TTL      time.Duration
}

// JWTSVID is a signed token.
type JWTSVID struct {
	ID          spiffeid.ID
	Token       string
	AuthorityID string // the kid
	IssuedAt    time.Time
	ExpiresAt   time.Time
}
