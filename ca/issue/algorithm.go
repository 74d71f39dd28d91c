package issue

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// algorithm is what a kind of authority key signs with.
type algorithm struct {
	hash crypto.Hash
	jws  string // RFC 7518 §3.1
	half int    // bytes of r and of s in a JWS; 0 for RSA
	der  []byte // X.509 AlgorithmIdentifier
}

var (
	oidECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSAWithSHA384 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidSHA256WithRSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
)

// algorithmOf is the one algorithm that keys like pub sign with here.
func algorithmOf(pub crypto.PublicKey) (algorithm, error) {
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return algorithm{crypto.SHA256, "ES256", 32, identifier(oidECDSAWithSHA256, false)}, nil
		case elliptic.P384():
			return algorithm{crypto.SHA384, "ES384", 48, identifier(oidECDSAWithSHA384, false)}, nil
		}
	case *rsa.PublicKey:
		return algorithm{crypto.SHA256, "RS256", 0, identifier(oidSHA256WithRSA, true)}, nil
	}
	return algorithm{}, fmt.Errorf("nothing is signed with a key of type %T: choose ec-p256, ec-p384, rsa-2048 or rsa-4096", pub)
}

// identifier is an AlgorithmIdentifier: RSA's has NULL parameters, ECDSA's none
// (RFC 4055 §5, RFC 5758 §3.2).
func identifier(oid asn1.ObjectIdentifier, null bool) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if null {
			b.AddASN1NULL()
		}
	})
	return b.BytesOrPanic()
}

// sign hashes message and signs the digest.
func (a algorithm) sign(signer crypto.Signer, message []byte) ([]byte, error) {
	h := a.hash.New()
	h.Write(message)
	var digest [64]byte
	return signer.Sign(rand.Reader, h.Sum(digest[:0]), a.hash)
}
