package fetch_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/fetch"
)

// peer is a bundle endpoint on loopback that does as the test says.
type peer struct {
	url   string
	hits  atomic.Int64
	conns atomic.Int64
	certs atomic.Pointer[tls.Certificate]
	serve atomic.Pointer[http.HandlerFunc]
}

// newPeer starts an endpoint that presents cert.
func newPeer(t *testing.T, cert tls.Certificate, serve http.HandlerFunc) *peer {
	t.Helper()
	p := &peer{}
	server := httptest.NewUnstartedServer(p)
	server.TLS = p.tls(cert, serve)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnState = p.count
	server.StartTLS()
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *peer) tls(cert tls.Certificate, serve http.HandlerFunc) *tls.Config {
	p.certs.Store(&cert)
	p.serve.Store(&serve)
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{*p.certs.Load()}}, nil
		},
	}
}

func (p *peer) count(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		p.conns.Add(1)
	}
}

func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.hits.Add(1)
	(*p.serve.Load())(w, r)
}

func (p *peer) now(serve http.HandlerFunc) { p.serve.Store(&serve) }
func (p *peer) presents(c tls.Certificate) { p.certs.Store(&c) }

// document serves b with its entity tag.
func document(t *testing.T, b *federation.Bundle) http.HandlerFunc {
	t.Helper()
	p := publish(t, b)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", p.ETag)
		if r.Header.Get("If-None-Match") == p.ETag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(p.Document)
	}
}

// spiffe is a relationship with a's domain, served by itself under path.
func spiffe(a *authority, url, path string) federation.Relationship {
	return federation.Relationship{TrustDomain: a.td, URL: url, Profile: federation.HTTPSSPIFFE, EndpointID: a.id(path)}
}

// web is a relationship with td over https_web; roots may vouch for it.
func web(td spiffeid.TrustDomain, url string, roots *authority) federation.Relationship {
	r := federation.Relationship{TrustDomain: td, URL: url, Profile: federation.HTTPSWeb}
	if roots != nil {
		r.Roots = roots.pem()
	}
	return r
}

// refresh polls td and returns how it went.
func refresh(t *testing.T, pool *fetch.Pool, td spiffeid.TrustDomain) federation.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := pool.Refresh(ctx, td)
	if err != nil {
		t.Fatalf("refresh %s: %v", td.Name(), err)
	}
	return s
}

// failing polls td and checks that it fails with all of words in the error.
func failing(t *testing.T, pool *fetch.Pool, td spiffeid.TrustDomain, words ...string) federation.Status {
	t.Helper()
	s := refresh(t, pool, td)
	if s.LastError == "" {
		t.Fatalf("the poll succeeded, want an error with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(s.LastError, w) {
			t.Errorf("error %q does not say %q", s.LastError, w)
		}
	}
	return s
}

// succeeding polls td and checks that it works.
func succeeding(t *testing.T, pool *fetch.Pool, td spiffeid.TrustDomain) federation.Status {
	t.Helper()
	s := refresh(t, pool, td)
	if s.LastError != "" {
		t.Fatalf("the poll failed: %s", s.LastError)
	}
	return s
}
