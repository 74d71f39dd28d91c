package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/node"
)

// world is a node of acme.example, and a directory with what its operator has
// at hand; bank.example serves its bundle by https_web.
type world struct {
	dir  string
	node *node.Node
	bank *httptest.Server
}

func startWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: shortDir(t)}
	config := quietConfig(filepath.Join(w.dir, "data"))
	config.TrustDomain, config.NodeName = "acme.example", "n1"
	n, err := node.Start(t.Context(), node.Options{Config: config, Version: "v1.2.3", Out: io.Discard, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
	w.node = n
	t.Setenv(adminSocketVariable, filepath.Join(w.dir, "data", "admin.sock"))
	t.Setenv(workloadSocketVariable, filepath.Join(w.dir, "data", "workload.sock"))
	w.startBank(t)
	return w
}

// quietConfig is a node that nobody else is in the way of.
func quietConfig(dir string) node.Config {
	c := node.Defaults()
	c.DataDir = dir
	c.ListenAPI, c.ListenBundle, c.ListenRaft, c.ListenOps = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	return c
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// startBank serves the bundle of bank.example, and leaves bank.json,
// bank.pem and roots.pem in the directory.
func (w *world) startBank(t *testing.T) {
	t.Helper()
	td := spiffeid.RequireTrustDomainFromString("bank.example")
	root := newRootCA(t, td)
	bundle := spiffebundle.FromX509Authorities(td, []*x509.Certificate{root})
	bundle.SetRefreshHint(5 * time.Minute)
	bundle.SetSequenceNumber(1)
	document, err := bundle.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	w.bank = httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "application/json")
		out.Write(document)
	}))
	t.Cleanup(w.bank.Close)
	for name, text := range map[string][]byte{
		"lost.pem":  certificatesPEM([]*x509.Certificate{newRootCA(t, spiffeid.RequireTrustDomainFromString("lost.example"))}),
		"bank.json": document, "bank.pem": certificatesPEM([]*x509.Certificate{root}),
		"roots.pem": certificatesPEM([]*x509.Certificate{w.bank.Certificate()}),
		"good.yaml": []byte("trust-domain: acme.example\nfederation:\n  deny-networks: [10.0.0.0/8]\n"),
		"bad.yaml":  []byte("trust-domian: acme.example\nrefresh-hint: soon\n"),
		"odd.yaml":  []byte("trust-domain: acme.example\n\nrefresh-hint: 0s\nlog-level: loud\n"),
	} {
		if err := os.WriteFile(filepath.Join(w.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(w.dir, "out"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func newRootCA(t *testing.T, td spiffeid.TrustDomain) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bank"}, URIs: []*url.URL{td.ID().URL()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10*24*time.Hour + time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func (w *world) newMask() *mask {
	return &mask{
		fixed:  []string{w.dir, "<dir>", w.bank.URL, "<bank>", fmt.Sprintf("unix:uid:%d", os.Getuid()), "<me>"},
		names:  map[string]string{},
		counts: map[string]int{},
	}
}

// blocks are the types of the PEM blocks in a text.
func blocks(text []byte) (types []string) {
	for block, rest := pem.Decode(bytes.TrimSpace(text)); block != nil; block, rest = pem.Decode(rest) {
		types = append(types, block.Type)
	}
	return types
}
