package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"github.com/concord-id/concord/ca"
)

func TestEd25519IsNoAuthoritysKey(t *testing.T) {
	err := ca.KeyType("ed25519").Validate()
	if err == nil || !strings.Contains(err.Error(), "JWT-SVID") || !strings.Contains(err.Error(), "ec-p256") {
		t.Errorf("ed25519: %v, want an error that says why and what to choose", err)
	}
	if err := ca.KeyType("dsa").Validate(); err == nil {
		t.Error("an unknown key type was accepted")
	}
	for _, kt := range ca.KeyTypes() {
		if err := kt.Validate(); err != nil {
			t.Errorf("%s: %v", kt, err)
		}
	}
	if ca.KeyTypes()[0] != ca.DefaultKeyType || ca.DefaultKeyType != ca.P256 {
		t.Error("the default key type is not P-256")
	}
}

func TestKeysThatSVIDsAreNotFor(t *testing.T) {
	point := func(c elliptic.Curve) crypto.PublicKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key.Public()
	}
	// A modulus of the right length is enough: nothing is computed with it.
	modulus := func(bits uint) crypto.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), bits-1), big.NewInt(1)), E: 65537}
	}
	for name, test := range map[string]struct {
		key  crypto.PublicKey
		want string // in the error; "" if it is accepted
	}{
		"P-256":     {point(elliptic.P256()), ""},
		"P-384":     {point(elliptic.P384()), ""},
		"P-521":     {point(elliptic.P521()), ""},
		"P-224":     {point(elliptic.P224()), "P-224"},
		"RSA-1024":  {modulus(1024), "1024 bits"},
		"RSA-2047":  {modulus(2047), "2047 bits"},
		"RSA-2048":  {modulus(2048), ""},
		"RSA-3072":  {modulus(3072), ""},
		"RSA-4096":  {modulus(4096), ""},
		"RSA-4097":  {modulus(4097), "4097 bits"},
		"RSA-16384": {modulus(16384), "16384 bits"},
		"Ed25519":   {ed25519.PublicKey(make([]byte, 32)), "Ed25519"},
		"none":      {nil, "no public key"},
		"other":     {"key", "string"},
	} {
		t.Run(name, func(t *testing.T) {
			err := ca.CheckPublicKey(test.key)
			if test.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestAnAuthorityIsNamedByItsKey(t *testing.T) {
	for _, kt := range []ca.KeyType{ca.P256, ca.P384, ca.RSA2048} {
		root, signer := authority(t, acme, ca.X509, kt)
		cert, err := root.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		id, err := ca.KeyID(signer.Public())
		if err != nil || id != root.ID || id != hex.EncodeToString(cert.SubjectKeyId) {
			t.Errorf("%s: key ID %s, authority %s, subject key identifier %x: %v", kt, id, root.ID, cert.SubjectKeyId, err)
		}
		if got, err := ca.KeyTypeOf(signer.Public()); got != kt || err != nil {
			t.Errorf("%s: kind of its key is %s, %v", kt, got, err)
		}
	}
	if _, err := ca.KeyID(ed25519.PublicKey(make([]byte, 32))); err == nil {
		t.Error("an Ed25519 key has an ID")
	}
}
