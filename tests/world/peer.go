package world

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/memdomain"
)

// serverPath is of the SPIFFE ID that endpoints present with https_spiffe.
const serverPath = "/spire/server"

// Peer is a trust domain whose keys are real and whose bundle endpoint answers
// as the test says.
type Peer struct {
	*memdomain.Domain
	URL  string
	Hits atomic.Int64 // requests so far

	t       testing.TB
	profile federation.Profile
	web     *Web
	answer  atomic.Pointer[http.HandlerFunc]
}

// NewPeer makes a peer that serves its bundle honestly, until told otherwise.
func NewPeer(t testing.TB, name string, profile federation.Profile) *Peer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return NewPeerOn(t, name, profile, listener)
}

// NewPeerOn is NewPeer with a listener of the test's.
func NewPeerOn(t testing.TB, name string, profile federation.Profile, listener net.Listener) *Peer {
	t.Helper()
	p := &Peer{Domain: memdomain.New(t, name), t: t, profile: profile, web: NewWeb(t)}
	p.Honest()
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Hits.Add(1)
		(*p.answer.Load())(w, r)
	})}
	certificate := p.web.Certificate()
	secure := tls.NewListener(listener, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if profile == federation.HTTPSWeb {
			return &certificate, nil
		}
		return p.certificate()
	}})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(secure) }) // it ends when it is closed
	t.Cleanup(func() { server.Close(); serving.Wait() })
	p.URL = "https://" + listener.Addr().String() + "/"
	return p
}

// certificate is an SVID of the endpoint, of the authority that signs now.
func (p *Peer) certificate() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	svid, err := p.X509SVID(ca.X509Request{ID: p.ID(serverPath), PublicKey: crypto.PublicKey(key.Public()), TTL: time.Hour})
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: svid.Certificates, PrivateKey: key}, nil
}

// Answer has h answer from now on.
func (p *Peer) Answer(h http.HandlerFunc) { p.answer.Store(&h) }

// Honest has the peer serve the bundle that it has at each moment.
func (p *Peer) Honest() {
	p.Answer(func(w http.ResponseWriter, _ *http.Request) { w.Write(p.Bundle().Document) })
}

// Say has the peer answer everything with this document.
func (p *Peer) Say(document string) {
	p.Answer(func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, strings.NewReader(document)) })
}

// Relationship is what an operator configures to follow the peer, with its
// bundle of now as the first one.
func (p *Peer) Relationship() client.NewRelationship {
	r := client.NewRelationship{Bundle: json.RawMessage(p.Bundle().Document)}
	r.TrustDomain, r.URL, r.Profile = p.TrustDomain().Name(), p.URL, string(p.profile)
	if p.profile == federation.HTTPSWeb {
		r.Roots = string(p.web.PEM)
	} else {
		r.EndpointID = p.ID(serverPath).String()
	}
	return r
}

// Relationship is what an operator elsewhere configures to follow this node,
// with its bundle of now as the first one.
func (n *Node) Relationship() client.NewRelationship {
	n.t.Helper()
	r := client.NewRelationship{Bundle: n.Admin().Bundle(n.TrustDomain).Document}
	r.TrustDomain, r.URL, r.Profile = n.TrustDomain.Name(), "https://"+n.Addresses().Bundle+"/", string(n.Config.BundleProfile)
	if n.web != nil {
		r.Roots = string(n.web.PEM)
	} else {
		r.EndpointID = n.ID(serverPath).String()
	}
	return r
}
