package ca_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/ca"
)

func csr(t testing.TB, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestCSR(t *testing.T) {
	good := csr(t, ecKey(t, elliptic.P256()), x509.CertificateRequest{})
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	unsigned := bytes.Clone(good)
	unsigned[len(unsigned)-1] ^= 1
	for name, test := range map[string]struct {
		der  []byte
		want string // in the error; "" if it is accepted
	}{
		"P-256":                  {good, ""},
		"P-521":                  {csr(t, ecKey(t, elliptic.P521()), x509.CertificateRequest{}), ""},
		"P-224":                  {csr(t, ecKey(t, elliptic.P224()), x509.CertificateRequest{}), "P-224"},
		"Ed25519":                {csr(t, edKey, x509.CertificateRequest{}), "Ed25519"},
		"nothing":                {nil, "no certificate signing request"},
		"not DER":                {[]byte("-----BEGIN CERTIFICATE REQUEST-----"), "DER"},
		"trailing bytes":         {append(bytes.Clone(good), 0), "trailing"},
		"cut short":              {good[:len(good)-1], "DER"},
		"too long":               {make([]byte, ca.MaxCSRBytes+1), "65537 bytes"},
		"signed by no one":       {unsigned, "not signed by its own key"},
		"a signature of another": {swapSignature(t, good, csr(t, ecKey(t, elliptic.P256()), x509.CertificateRequest{})), "not signed by its own key"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ca.CheckCSR(test.der)
			switch {
			case test.want == "" && (err != nil || got.PublicKey == nil):
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

// swapSignature is der with the signature of other.
func swapSignature(t *testing.T, der, other []byte) []byte {
	t.Helper()
	type request struct {
		Raw       asn1.RawContent
		Info      asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	var a, b request
	for in, out := range map[*[]byte]*request{&der: &a, &other: &b} {
		if _, err := asn1.Unmarshal(*in, out); err != nil {
			t.Fatal(err)
		}
	}
	a.Raw, a.Signature = nil, b.Signature
	mixed, err := asn1.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return mixed
}

// hugeRSA is a signed-looking request for an RSA key of bits bits. Making such
// a key would take minutes; checking a signature by it, seconds.
func hugeRSA(t testing.TB, bits uint) []byte {
	t.Helper()
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der := csr(t, small, x509.CertificateRequest{Subject: pkix.Name{CommonName: "huge"}})
	var request struct {
		Info struct {
			Version    int
			Subject    asn1.RawValue
			Key        asn1.RawValue
			Attributes asn1.RawValue `asn1:"tag:0"`
		}
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &request); err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), bits-1), big.NewInt(1))
	spki, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	request.Info.Key = asn1.RawValue{FullBytes: spki}
	request.Signature = asn1.BitString{Bytes: make([]byte, bits/8), BitLength: int(bits)}
	huge, err := asn1.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return huge
}

// RELIABILITY §1 row 14.
func TestAnOversizedKeyIsRefusedBeforeCryptography(t *testing.T) {
	for _, bits := range []uint{8192, 16384, 131072} {
		der := hugeRSA(t, bits)
		took := quickest(func() {
			if _, err := ca.CheckCSR(der); err == nil || !strings.Contains(err.Error(), "RSA of") {
				t.Errorf("RSA-%d: %v, want an error that says how long it is", bits, err)
			}
		})
		if took > 50*time.Millisecond {
			t.Errorf("RSA-%d took %s", bits, took)
		}
	}
}

func FuzzCSR(f *testing.F) {
	f.Add(csr(f, ecKey(f, elliptic.P256()), x509.CertificateRequest{}))
	f.Add(csr(f, ecKey(f, elliptic.P384()), x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "web"}, DNSNames: []string{"web"}, URIs: []*url.URL{uri("spiffe://acme.example/web"), uri("spiffe://bank.example/web")},
	}))
	f.Add(hugeRSA(f, 16384))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, der []byte) {
		got, err := ca.CheckCSR(der)
		if err != nil {
			if got != nil {
				t.Error("a refused request was returned")
			}
			return
		}
		if len(der) > ca.MaxCSRBytes || !bytes.Equal(got.Raw, der) {
			t.Error("what was checked is not what was sent")
		}
		if err := ca.CheckPublicKey(got.PublicKey); err != nil {
			t.Errorf("accepted with a key that no SVID is for: %v", err)
		}
		if err := got.CheckSignature(); err != nil {
			t.Errorf("accepted without a good signature: %v", err)
		}
	})
}
