package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// DefaultKeyType is the kind of key that a new authority gets.
const DefaultKeyType = P256

// KeyTypes are the kinds of keys that an authority may have, the default first.
func KeyTypes() []KeyType { return []KeyType{P256, P384, RSA2048, RSA4096} }

// Validate says why no authority can have a key of kind k.
func (k KeyType) Validate() error {
	if slices.Contains(KeyTypes(), k) {
		return nil
	}
	if k == "ed25519" {
		return errors.New("key type ed25519 cannot sign JWT-SVIDs (JWT-SVID §2.1 has no EdDSA) and many TLS clients refuse it: choose ec-p256, ec-p384, rsa-2048 or rsa-4096")
	}
	return fmt.Errorf("key type %.40q is not known: choose ec-p256, ec-p384, rsa-2048 or rsa-4096", string(k))
}

// KeyTypeOf returns the kind of an authority's public key, and an error if
// authorities have no such keys.
func KeyTypeOf(pub crypto.PublicKey) (KeyType, error) {
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return P256, nil
		case elliptic.P384():
			return P384, nil
		}
		return "", fmt.Errorf("an authority cannot have a key on curve %s: choose P-256 or P-384", key.Curve.Params().Name)
	case *rsa.PublicKey:
		switch key.N.BitLen() {
		case 2048:
			return RSA2048, nil
		case 4096:
			return RSA4096, nil
		}
		return "", fmt.Errorf("an authority cannot have an RSA key of %d bits: choose 2048 or 4096", key.N.BitLen())
	}
	return "", fmt.Errorf("an authority cannot have a key of type %T: choose ec-p256, ec-p384, rsa-2048 or rsa-4096", pub)
}

// Bounds on the RSA keys that an SVID may be for, in bits.
const (
	MinRSABits = 2048
	MaxRSABits = 4096
)

// CheckPublicKey says why no SVID is issued for pub. It does no cryptography,
// so that an oversized key costs nothing (RELIABILITY §1 row 14). Allowed are
// ECDSA on P-256, P-384 and P-521, and RSA of 2048 to 4096 bits.
func CheckPublicKey(pub crypto.PublicKey) error {
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fmt.Errorf("the public key is on curve %s: choose P-256, P-384 or P-521", key.Curve.Params().Name)
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
			return fmt.Errorf("the public key is RSA of %d bits: choose %d to %d bits, or ECDSA P-256", bits, MinRSABits, MaxRSABits)
		}
		return nil
	case ed25519.PublicKey:
		return errors.New("the public key is Ed25519, which many TLS clients refuse: choose ECDSA P-256, P-384, P-521 or RSA")
	case nil:
		return errors.New("there is no public key")
	}
	return fmt.Errorf("the public key is of type %T: choose ECDSA P-256, P-384, P-521 or RSA", pub)
}

// SubjectKeyID returns the subject key identifier of pub: the leftmost 160 bits
// of the SHA-256 of its bit string (RFC 7093 §2, method 1).
func SubjectKeyID(pub crypto.PublicKey) ([]byte, error) {
	var bits []byte
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			return nil, fmt.Errorf("encode the public key's point: %w", err)
		}
		bits = point
	case *rsa.PublicKey:
		bits = x509.MarshalPKCS1PublicKey(key)
	default:
		return nil, fmt.Errorf("no key identifier for a public key of type %T", pub)
	}
	sum := sha256.Sum256(bits)
	return sum[:20], nil
}

// KeyID names an authority by its public key: the subject key identifier in
// lower-case hex. It is the ID of X.509 authorities and the kid of JWT ones, so
// an ID never means two keys.
func KeyID(pub crypto.PublicKey) (string, error) {
	id, err := SubjectKeyID(pub)
	return hex.EncodeToString(id), err
}

// Binding is what a sealed key belongs to. A sealed key opens under its own
// binding and no other.
type Binding struct {
	Cluster     string
	TrustDomain spiffeid.TrustDomain
	Use         Use
	Authority   string // KeyID of the public half; empty when asking for a new key
}
