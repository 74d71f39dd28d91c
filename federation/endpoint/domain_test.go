package endpoint_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/endpoint"
)

var (
	bank     = spiffeid.RequireTrustDomainFromString("bank.example")
	serverID = spiffeid.RequireFromPath(bank, "/spire/server")
	quiet    = slog.New(slog.DiscardHandler)
)

// domain is a trust domain with one authority.
type domain struct {
	key  *ecdsa.PrivateKey
	root *x509.Certificate
}

func newDomain(t testing.TB) *domain {
	t.Helper()
	d := &domain{key: newKey(t)}
	d.root = d.sign(t, &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:     []*url.URL{bank.ID().URL()},
	}, d.key.Public())
	return d
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (d *domain) sign(t testing.TB, template *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	template.Subject = pkix.Name{CommonName: "test"}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent := d.root
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, d.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// leaf is a server certificate for loopback that is also an X509-SVID of serverID.
func (d *domain) leaf(t testing.TB, change ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:              []string{"bank.test"},
		URIs:                  []*url.URL{serverID.URL()},
	}
	for _, c := range change {
		c(template)
	}
	key := newKey(t)
	cert := d.sign(t, template, key.Public())
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// pair is c as the two PEM files of an operator.
func pair(t testing.TB, c *tls.Certificate) (cert, key []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (d *domain) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(d.root)
	return pool
}

// publish makes the domain's bundle with this sequence.
func (d *domain) publish(t testing.TB, sequence uint64) *federation.Published {
	t.Helper()
	p, err := federation.Publish(&federation.Bundle{
		TrustDomain: bank,
		X509:        []*x509.Certificate{d.root},
		JWT:         []federation.JWTAuthority{{ID: "one", Key: d.key.Public()}},
		Sequence:    sequence, Sequenced: true,
		Hint: time.Minute, Hinted: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ledger is a Source whose bundle a test sets.
type ledger struct {
	mu      sync.Mutex
	current endpoint.Current
	changed chan struct{}
}

func newLedger(p *federation.Published) *ledger {
	return &ledger{current: endpoint.Current{Bundle: p}, changed: make(chan struct{})}
}

func (l *ledger) set(c endpoint.Current) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = c
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *ledger) Current() endpoint.Current {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

func (l *ledger) Wait(ctx context.Context, sequence uint64) error {
	for {
		l.mu.Lock()
		current, changed := l.current, l.changed
		l.mu.Unlock()
		if current.Bundle != nil && current.Bundle.Bundle.Sequence >= sequence {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// serve runs a Server on loopback until the test ends and returns its address.
func serve(t testing.TB, o endpoint.Options) (*endpoint.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, o, l), l.Addr().String()
}

func serveOn(t testing.TB, o endpoint.Options, l net.Listener) *endpoint.Server {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet
	}
	s := endpoint.NewServer(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func fixed(c *tls.Certificate) func() (*tls.Certificate, error) {
	return func() (*tls.Certificate, error) { return c, nil }
}
