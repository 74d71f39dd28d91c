package world

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/federation"
)

// Web is an ordinary web PKI: a CA that no system trusts.
type Web struct {
	CA  *x509.Certificate
	PEM []byte // of CA

	t   testing.TB
	key *ecdsa.PrivateKey
}

// NewWeb makes a CA.
func NewWeb(t testing.TB) *Web {
	t.Helper()
	must := Must[*ecdsa.PrivateKey](t)
	w := &Web{t: t, key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a web CA"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := Must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, w.key.Public(), w.key))
	w.CA = Must[*x509.Certificate](t)(x509.ParseCertificate(der))
	w.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return w
}

// Pool returns a pool with the CA alone.
func (w *Web) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(w.CA)
	return pool
}

// Certificate returns a new server certificate for 127.0.0.1.
func (w *Web) Certificate() tls.Certificate {
	w.t.Helper()
	key := Must[*ecdsa.PrivateKey](w.t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "an endpoint"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der := Must[[]byte](w.t)(x509.CreateCertificate(rand.Reader, template, w.CA, key.Public(), w.key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Write writes a new server certificate and its key into dir, and returns the
// files' names.
func (w *Web) Write(dir string) (certificate, key string) {
	w.t.Helper()
	c := w.Certificate()
	der := Must[[]byte](w.t)(x509.MarshalPKCS8PrivateKey(c.PrivateKey))
	certificate, key = filepath.Join(dir, "web.pem"), filepath.Join(dir, "web.key")
	w.file(certificate, "CERTIFICATE", c.Certificate[0])
	w.file(key, "PRIVATE KEY", der)
	return certificate, key
}

func (w *Web) file(name, kind string, der []byte) {
	w.t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// StartWeb starts a node whose bundle endpoint has profile https_web, with
// certificate files of a CA of its own.
func StartWeb(t testing.TB, name string, change ...func(*node.Config)) *Node {
	t.Helper()
	w := NewWeb(t)
	n := Start(t, name, append([]func(*node.Config){func(c *node.Config) {
		c.BundleProfile = federation.HTTPSWeb
		c.BundleCert, c.BundleKey = w.Write(Dir(t))
	}}, change...)...)
	n.web = w
	return n
}

// Web is who vouches for the node's endpoint; nil with https_spiffe.
func (n *Node) Web() *Web { return n.web }
