package fetch_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/fetch"
)

func TestFD_24_AWebEndpointIsVerifiedByCAAndName(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	for name, row := range map[string]struct {
		cert tls.Certificate
		host string
		say  []string // nil: it works
	}{
		"the address that is configured": {ca.web(), "127.0.0.1", nil},
		"the name that is configured":    {ca.web(), "bank.example", nil},
		"the name with a final dot":      {ca.web(), "bank.example.", nil},
		"the name in upper case":         {ca.web(), "BANK.example", nil},
		"by an intermediate":             {ca.intermediate().web(), "bank.example", nil},
		"another name":                   {ca.web(), "shop.example", []string{"is for bank.example, www.example, 127.0.0.1, not for shop.example"}},
		"a subdomain of the name":        {ca.web(), "a.bank.example", []string{"not for a.bank.example"}},
		"a wildcard two levels up":       {ca.web(func(c *x509.Certificate) { c.DNSNames = []string{"*.example"} }), "a.bank.example", []string{"not for a.bank.example"}},
		"a common name alone": {ca.web(func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses, c.Subject = nil, nil, pkix.Name{CommonName: "bank.example"}
		}), "bank.example", []string{"no host (a common name does not count)"}},
		"another CA":                    {impostor(t, ca).web(), "bank.example", []string{"no CA that this relationship trusts"}},
		"the peer's own domain's CA":    {bank.web(), "bank.example", []string{"no CA that this relationship trusts"}},
		"self-signed":                   {selfSigned(t), "bank.example", []string{"no CA that this relationship trusts"}},
		"expired":                       {ca.web(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }), "bank.example", []string{"expired on " + time.Now().Add(-time.Hour).UTC().Format("2006-01-02")}},
		"not yet valid":                 {ca.web(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), "bank.example", []string{"valid only from"}},
		"for clients only":              {ca.web(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "bank.example", []string{"usage"}},
		"an unknown critical extension": {ca.web(unknownCritical), "bank.example", []string{"critical"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, row.cert, honest(t, bank, 1))
			l := newLedger()
			l.relate(web(bank.td, onHost(p.url, row.host), ca))
			pool := run(t, l, fetch.Options{Resolver: hosts{"*": {"127.0.0.1"}}})
			if row.say == nil {
				succeeding(t, pool, bank.td)
				return
			}
			failing(t, pool, bank.td, row.say...)
			if p.hits.Load() > 0 {
				t.Error("a request was sent to an endpoint that is not the peer's")
			}
		})
	}
}

// onHost returns a loopback URL with another host in it.
func onHost(url, host string) string { return strings.Replace(url, "127.0.0.1", host, 1) }

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key := newKey(t)
	cert := sign(t, &x509.Certificate{DNSNames: []string{"bank.example"}, KeyUsage: x509.KeyUsageDigitalSignature}, nil, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func TestFD_24_WithoutRootsTheSystemsCAsDecide(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	p := newPeer(t, ca.web(), honest(t, bank, 1))
	l := newLedger()
	l.relate(web(bank.td, p.url, nil))
	failing(t, run(t, l, fetch.Options{}), bank.td, "as its roots")
}

func TestFD_22_NoProfileStandsInForAnother(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	l := newLedger()
	l.set(publish(t, bundle(bank.td, 1, time.Minute, bank)))

	spiffeEndpoint := newPeer(t, bank.svid(serverPath), honest(t, bank, 2))
	l.relate(web(bank.td, spiffeEndpoint.url, ca))
	pool := run(t, l, fetch.Options{})
	failing(t, pool, bank.td, "is for no host")

	webEndpoint := newPeer(t, ca.web(), honest(t, bank, 2))
	l.relate(spiffe(bank, webEndpoint.url, serverPath))
	failing(t, pool, bank.td, "without a SPIFFE ID")
}

func TestWhatCannotBeConfiguredIsNotFetched(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	for name, row := range map[string]struct {
		r   federation.Relationship
		say string
	}{
		"FD_21 no profile":          {federation.Relationship{TrustDomain: bank.td, URL: "https://127.0.0.1:1/"}, "profile"},
		"FD_8 a URL without TLS":    {web(bank.td, "http://127.0.0.1:1/", nil), "scheme must be https"},
		"FD_8 user information":     {web(bank.td, "https://user:secret@127.0.0.1:1/", nil), "no user"},
		"roots that are no PEM":     {federation.Relationship{TrustDomain: bank.td, URL: "https://127.0.0.1:1/", Profile: federation.HTTPSWeb, Roots: []byte("x")}, "hold no certificate"},
		"a host of another script":  {web(bank.td, "https://bänk.example/", nil), "xn--"},
		"a host with percent signs": {web(bank.td, "https://bank%2eexample%0a/", nil), "URL"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			l.relate(row.r)
			s := failing(t, run(t, l, fetch.Options{}), bank.td, row.say)
			if strings.Contains(s.LastError, "secret") {
				t.Errorf("%q shows a password", s.LastError)
			}
		})
	}
}

func TestNeitherQueryNorAnswerIsShown(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	const secret = "s3cr3t"
	for name, serve := range map[string]http.HandlerFunc{
		"a status": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, secret, http.StatusForbidden) },
		"not JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(secret)) },
		"a member twice": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"` + secret + `":1,"` + secret + `":2}`))
		},
		"a kid twice": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[{"kty":"` + secret + `","kty":"` + secret + `"}]}`))
		},
		"a header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			w.Header().Set("Location", secret)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+secret+"/"+secret, http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, ca.web(), serve)
			l := newLedger()
			l.relate(web(bank.td, p.url+"/bundle?token="+secret, ca))
			s := failing(t, run(t, l, fetch.Options{}), bank.td, "/bundle?…")
			if strings.Contains(s.LastError, secret) {
				t.Errorf("%q shows what is secret", s.LastError)
			}
		})
	}
}
