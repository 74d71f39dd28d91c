package issue_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
)

var td = spiffeid.RequireTrustDomainFromString("acme.example")

func BenchmarkX509(b *testing.B) {
	d := issue.Domain{Keys: keys.NewMemory(), Cluster: "c", TrustDomain: td, KeyType: ca.P256}
	now := time.Now()
	root, err := d.NewAuthority(ca.X509, time.Hour*24, now)
	if err != nil {
		b.Fatal(err)
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := d.SignIntermediate(root, key.Public(), time.Hour, now)
	if err != nil {
		b.Fatal(err)
	}
	in, err := issue.NewIntermediate(der, key, root.ID)
	if err != nil {
		b.Fatal(err)
	}
	i := issue.New()
	i.SetX509(in)
	wl, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	csr, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, wl)
	id := spiffeid.RequireFromString("spiffe://acme.example/ns/payments/sa/api")
	b.Run("floor", func(b *testing.B) {
		digest := sha256.Sum256([]byte("x"))
		for b.Loop() {
			r, err := x509.ParseCertificateRequest(csr)
			if err != nil || r.CheckSignature() != nil {
				b.Fatal(err)
			}
			if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := ca.CheckCSR(csr)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := i.X509SVID(ca.X509Request{ID: id, PublicKey: r.PublicKey, TTL: time.Hour}, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkJWT(b *testing.B) {
	d := issue.Domain{Keys: keys.NewMemory(), Cluster: "c", TrustDomain: td, KeyType: ca.P256}
	now := time.Now()
	a, err := d.NewAuthority(ca.JWT, time.Hour*24, now)
	if err != nil {
		b.Fatal(err)
	}
	signer, _ := d.Open(a)
	key, err := issue.NewJWTKey(td, a, signer)
	if err != nil {
		b.Fatal(err)
	}
	i := issue.New()
	i.SetJWT(key)
	id := spiffeid.RequireFromString("spiffe://acme.example/ns/payments/sa/api")
	b.Run("floor", func(b *testing.B) {
		digest := sha256.Sum256([]byte("x"))
		for b.Loop() {
			if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := i.JWTSVID(ca.JWTRequest{ID: id, Audience: []string{"spiffe://bank.example/api"}, TTL: time.Minute}, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}
