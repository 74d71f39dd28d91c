package fetch_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

// authority is a CA: a trust domain's, an intermediate's, or one of the Web's.
type authority struct {
	t     *testing.T
	td    spiffeid.TrustDomain // zero for the Web's
	key   crypto.Signer
	cert  *x509.Certificate
	above []*authority // between this one and the root, this one first; the root is not in it
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newAuthority returns a self-signed root; change may spoil its template.
func newAuthority(t *testing.T, name string, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	if td, err := spiffeid.TrustDomainFromString(name); err == nil && name != "web" {
		a.td = td
		template.URIs = []*url.URL{td.ID().URL()}
	}
	a.cert = sign(t, template, nil, a.key.Public(), a.key, change...)
	return a
}

// intermediate returns an authority that a signed.
func (a *authority) intermediate(change ...func(*x509.Certificate)) *authority {
	a.t.Helper()
	b := &authority{t: a.t, td: a.td, key: newKey(a.t)}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "intermediate"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	b.cert = sign(a.t, template, a.cert, b.key.Public(), a.key, change...)
	b.above = append([]*authority{b}, a.above...)
	return b
}

// svid returns a server's X509-SVID of path in a's domain; change may spoil it.
func (a *authority) svid(path string, change ...func(*x509.Certificate)) tls.Certificate {
	return a.leaf(&x509.Certificate{
		URIs:                  []*url.URL{a.id(path).URL()},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, change...)
}

// web returns a server certificate for 127.0.0.1, bank.example and www.example.
func (a *authority) web(change ...func(*x509.Certificate)) tls.Certificate {
	return a.leaf(&x509.Certificate{
		DNSNames:    []string{"bank.example", "www.example"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, change...)
}

func (a *authority) leaf(template *x509.Certificate, change ...func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key := newKey(a.t)
	cert := sign(a.t, template, a.cert, key.Public(), a.key, change...)
	chain := [][]byte{cert.Raw}
	for _, above := range a.above {
		chain = append(chain, above.cert.Raw)
	}
	return tls.Certificate{Certificate: chain, PrivateKey: key}
}

func (a *authority) id(path string) spiffeid.ID {
	return spiffeid.RequireFromPath(a.td, path)
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func sign(t *testing.T, template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer, change ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(30*24*time.Hour)
	for _, c := range change {
		c(template)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// bundle is what a's domain trusts: the given roots.
func bundle(td spiffeid.TrustDomain, sequence uint64, hint time.Duration, roots ...*authority) *federation.Bundle {
	b := &federation.Bundle{TrustDomain: td, Sequence: sequence, Sequenced: true, Hint: hint, Hinted: true}
	for _, r := range roots {
		b.X509 = append(b.X509, r.cert)
	}
	return b
}

func publish(t *testing.T, b *federation.Bundle) *federation.Published {
	t.Helper()
	p, err := federation.Publish(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
