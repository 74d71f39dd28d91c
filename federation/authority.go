package federation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"unicode/utf8"
)

// The sizes of RSA keys that are trusted. Below, a key can be broken; above, whoever
// chooses it makes every verification dear.
const (
	MinRSABits = 2048
	MaxRSABits = 8192
)

// CheckX509Authority says why cert can be no X.509 authority: its key is weak
// or unknown, or it is not allowed to sign certificates (X509-SVID §4.1, §4.3).
// Dates do not matter, and neither does the SPIFFE ID in it, which is advice.
func CheckX509Authority(cert *x509.Certificate) error {
	if err := checkKey(cert.PublicKey); err != nil {
		return fmt.Errorf("the certificate of %s: %w", subject(cert), err)
	}
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return fmt.Errorf("the certificate of %s is no CA certificate: as a root it would stand for whatever it claims", subject(cert))
	}
	if cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return fmt.Errorf("the CA certificate of %s may not sign certificates (its key usage lacks keyCertSign)", subject(cert))
	}
	return nil
}

// CheckJWTAuthority says why a can be no JWT authority: it has no ID, or
// JWT-SVID §2.1 knows no algorithm for its key, or the key is weak.
func CheckJWTAuthority(a JWTAuthority) error {
	if a.ID == "" || !utf8.ValidString(a.ID) {
		return errors.New("a JWT authority needs a key ID of valid UTF-8 (JWT-SVID §6.1)")
	}
	if _, ok := a.Key.(ed25519.PublicKey); ok {
		return fmt.Errorf("JWT authority %.80q has an Ed25519 key, for which JWT-SVID §2.1 has no algorithm", a.ID)
	}
	if err := checkKey(a.Key); err != nil {
		return fmt.Errorf("JWT authority %.80q: %w", a.ID, err)
	}
	return nil
}

func checkKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
			return fmt.Errorf("an RSA key of %d bits is not trusted, it must have from %d to %d", bits, MinRSABits, MaxRSABits)
		}
		return nil
	case *ecdsa.PublicKey:
		if curves[k.Params().Name] == nil {
			return fmt.Errorf("curve %s is not trusted", k.Params().Name)
		}
		return nil
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("a key of type %T is not known here", key)
}

// subject names a certificate for a person.
func subject(cert *x509.Certificate) string {
	if len(cert.URIs) > 0 {
		return fmt.Sprintf("%.120q", cert.URIs[0].String())
	}
	return fmt.Sprintf("%.120q", cert.Subject.String())
}

// KeyHash is the SHA-256 of a public key's DER SubjectPublicKeyInfo: the same
// for a key in a certificate and the key alone.
type KeyHash [sha256.Size]byte

// HashKey returns key's hash. It fails for a kind of key that cannot be in a bundle.
func HashKey(key crypto.PublicKey) (KeyHash, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return KeyHash{}, fmt.Errorf("hash a public key: %w", err)
	}
	return sha256.Sum256(der), nil
}
