package issue_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/concord-id/concord/ca"
)

// BenchmarkX509SVID has an SVID signed for a certificate request, beside the
// floor: one check of the request and one P-256 signature.
func BenchmarkX509SVID(b *testing.B) {
	i, _ := ready(b, ca.P256)
	workload, signer := ecKey(b, elliptic.P256()), ecKey(b, elliptic.P256())
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, workload)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("floor", func(b *testing.B) {
		digest := sha256.Sum256(der)
		for b.Loop() {
			csr, err := x509.ParseCertificateRequest(der)
			if err != nil {
				b.Fatal(err)
			}
			if err := csr.CheckSignature(); err != nil {
				b.Fatal(err)
			}
			if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			csr, err := ca.CheckCSR(der)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := i.X509SVID(ca.X509Request{ID: web, PublicKey: csr.PublicKey, TTL: time.Hour}, began); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkJWTSVID has a token signed, beside the floor: one P-256 signature.
func BenchmarkJWTSVID(b *testing.B) {
	i, a := jwtIssuer(b, ca.P256, began)
	signer := ecKey(b, elliptic.P256())
	b.Run("floor", func(b *testing.B) {
		digest := sha256.Sum256([]byte(a.ID))
		for b.Loop() {
			if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		req := ca.JWTRequest{ID: web, Audience: []string{"spiffe://bank.example/api"}, TTL: 5 * time.Minute}
		for b.Loop() {
			if _, err := i.JWTSVID(req, began); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkVerifyJWTSVID verifies a token that has a kid.
func BenchmarkVerifyJWTSVID(b *testing.B) {
	i, a := jwtIssuer(b, ca.P256, began)
	pub, err := a.PublicKey()
	if err != nil {
		b.Fatal(err)
	}
	svid, err := i.JWTSVID(ca.JWTRequest{ID: web, Audience: []string{"bank"}, TTL: time.Minute}, began)
	if err != nil {
		b.Fatal(err)
	}
	keys := published(b, pub, a.ID)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ca.VerifyJWTSVID(svid.Token, "bank", keys, began); err != nil {
			b.Fatal(err)
		}
	}
}
