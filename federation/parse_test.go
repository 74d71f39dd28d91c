package federation_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

var (
	bank = spiffeid.RequireTrustDomainFromString("bank.example")
	acme = spiffeid.RequireTrustDomainFromString("acme.example")
)

// keys are made once: RSA takes its time.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	must := func(k crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return k
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p256b, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	rsa2048, _ := rsa.GenerateKey(rand.Reader, 2048)
	rsa1024, _ := rsa.GenerateKey(rand.Reader, 1024)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{
		"p256": must(p256, err), "p256b": p256b, "p384": p384, "p521": p521, "p224": p224,
		"rsa2048": rsa2048, "rsa1024": rsa1024, "ed25519": ed,
	}
})

// authority returns a CA certificate over the named key.
func authority(t testing.TB, key string, td spiffeid.TrustDomain, change ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: key + " of " + td.Name()},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:                  []*url.URL{td.ID().URL()},
	}
	for _, c := range change {
		c(template)
	}
	signer := keys()[key]
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// sample is a bundle with every kind of key.
func sample(t testing.TB) *federation.Bundle {
	t.Helper()
	b := &federation.Bundle{TrustDomain: bank, Sequence: 1<<64 - 1, Sequenced: true, Hint: time.Minute, Hinted: true}
	for _, k := range []string{"p256", "p384", "p521", "rsa2048", "ed25519"} {
		b.X509 = append(b.X509, authority(t, k, bank))
	}
	for _, k := range []string{"p256", "p384", "p521", "rsa2048"} {
		b.JWT = append(b.JWT, federation.JWTAuthority{ID: "kid-" + k, Key: keys()[k].Public()})
	}
	return b
}

func TestMarshalIsReadByGoSPIFFE(t *testing.T) {
	b := sample(t)
	doc, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := spiffebundle.Parse(bank, doc)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(theirs.X509Authorities()); n != len(b.X509) {
		t.Errorf("go-spiffe reads %d X.509 authorities of %d", n, len(b.X509))
	}
	for _, a := range b.JWT {
		key, ok := theirs.FindJWTAuthority(a.ID)
		if !ok || !key.(interface{ Equal(crypto.PublicKey) bool }).Equal(a.Key) {
			t.Errorf("go-spiffe does not read JWT authority %s", a.ID)
		}
	}
	if seq, ok := theirs.SequenceNumber(); !ok || seq != 1<<64-1 {
		t.Errorf("go-spiffe reads sequence %d, %v", seq, ok)
	}
	back, ignored, err := federation.Parse(bank, doc)
	if err != nil || len(ignored) > 0 {
		t.Fatal(err, ignored)
	}
	again, err := back.Marshal()
	if err != nil || string(again) != string(doc) {
		t.Errorf("parsed and written again: %v\n%s\n%s", err, doc, again)
	}
}

func TestGoSPIFFEsDocumentIsRead(t *testing.T) {
	b := sample(t)
	doc, _ := b.Marshal()
	theirs, err := spiffebundle.Parse(bank, doc)
	if err != nil {
		t.Fatal(err)
	}
	other, err := theirs.Marshal() // in the order of a Go map
	if err != nil {
		t.Fatal(err)
	}
	back, ignored, err := federation.Parse(bank, other)
	if err != nil || len(ignored) > 0 {
		t.Fatal(err, ignored)
	}
	if again, err := back.Marshal(); err != nil || string(again) != string(doc) {
		t.Errorf("%v\n%s\n%s", err, doc, again)
	}
}
