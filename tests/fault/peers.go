package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/fault/history"
	"github.com/concord-id/concord/tests/fault/wire"
)

const (
	peersFollowed = 4
	peerHint      = time.Second
	peerKeys      = 3 // at once
)

// peer is a trust domain whose keys turn all the time, and whose endpoint
// answers as a fault says.
type peer struct {
	domain spiffeid.TrustDomain
	url    string
	pem    []byte // of who vouches for its endpoint
	rec    *recorder
	random *rand.Rand

	mu        sync.Mutex
	sequence  uint64
	roots     []*x509.Certificate
	documents [][]byte // the last ones
	behaviour behaviour
}

// behaviour is how an endpoint answers.
type behaviour uint8

const (
	honest behaviour = iota
	failing
	dripping
	rolledBack
)

func newPeer(number int, host *wire.Host, rec *recorder, random *rand.Rand) (*peer, error) {
	p := &peer{domain: spiffeid.RequireTrustDomainFromString(fmt.Sprintf("peer-%d.example", number)), rec: rec, random: random}
	certificate, err := p.certificate(host)
	if err != nil {
		return nil, err
	}
	listener, err := host.Listen(0)
	if err != nil {
		return nil, err
	}
	p.url = "https://" + listener.Addr().String() + "/"
	server := &http.Server{
		Handler: p, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
	}
	go server.ServeTLS(listener, "", "") // until the campaign ends
	return p, p.turn()
}

// certificate is an ordinary one of the web, good for whoever's clock is days off.
func (p *peer) certificate(host *wire.Host) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "endpoint of " + p.domain.Name()},
		NotBefore: time.Now().Add(-72 * time.Hour), NotAfter: time.Now().Add(72 * time.Hour),
		IPAddresses: []net.IP{host.Addr.AsSlice()}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
	p.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// turn publishes another key, and removes the oldest if there are enough.
func (p *peer) turn() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{p.domain.Name()}},
		NotBefore: time.Now().Add(-72 * time.Hour), NotAfter: time.Now().Add(72 * time.Hour),
		URIs: []*url.URL{p.domain.ID().URL()}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sequence++
	p.roots = append(slices.Clone(p.roots), root)
	p.roots = p.roots[max(0, len(p.roots)-peerKeys):]
	published, err := federation.Publish(&federation.Bundle{TrustDomain: p.domain, Sequence: p.sequence, Sequenced: true, Hint: peerHint, Hinted: true, X509: p.roots})
	if err != nil {
		return err
	}
	p.documents = append(p.documents, published.Document)
	p.documents = p.documents[max(0, len(p.documents)-5):]
	p.rec.add(history.Event{Kind: history.Published, Domain: p.domain.Name(), Sequence: p.sequence, Keys: p.keysLocked()})
	return nil
}

// work turns the keys every few seconds until ctx ends.
func (p *peer) work(ctx context.Context) {
	for {
		pause(ctx, 2*time.Second+time.Duration(p.random.Int64N(int64(5*time.Second))))
		if ctx.Err() != nil {
			return
		}
		if err := p.turn(); err != nil {
			p.rec.wrong("the campaign", "turn the keys of %s: %v", p.domain, err)
			return
		}
	}
}

func (p *peer) keysLocked() (keys []string) {
	for _, root := range p.roots {
		keys = append(keys, fingerprint(root.Raw))
	}
	slices.Sort(keys)
	return keys
}

// keys are what its workloads are known by now.
func (p *peer) keys() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keysLocked()
}

// behave has the endpoint answer so from now on.
func (p *peer) behave(b behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behaviour = b
}

// ServeHTTP implements http.Handler.
func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	newest, oldest, b := p.documents[len(p.documents)-1], p.documents[0], p.behaviour
	p.mu.Unlock()
	switch b {
	case honest:
		w.Write(newest)
	case failing:
		http.Error(w, "not now", http.StatusInternalServerError)
	case rolledBack:
		w.Write(oldest)
	case dripping:
		for i := range newest {
			if _, err := w.Write(newest[i : i+1]); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			pause(r.Context(), 100*time.Millisecond)
			if r.Context().Err() != nil {
				return
			}
		}
	}
}

// relationship is what the cluster is told to follow.
func (p *peer) relationship() client.NewRelationship {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := client.NewRelationship{Bundle: p.documents[len(p.documents)-1]}
	r.TrustDomain, r.URL, r.Profile, r.Roots = p.domain.Name(), p.url, string(federation.HTTPSWeb), string(p.pem)
	return r
}
