package fetch_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/http"
	"net/url"
	"testing"
	"time"

	gospiffe "github.com/spiffe/go-spiffe/v2/federation"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/fetch"
)

const serverPath = "/spire/server"

// honest is a peer of go-spiffe's making.
func honest(t *testing.T, a *authority, sequence uint64) http.HandlerFunc {
	t.Helper()
	b := spiffebundle.FromX509Authorities(a.td, []*x509.Certificate{a.cert})
	b.SetSequenceNumber(sequence)
	b.SetRefreshHint(time.Minute)
	handler, err := gospiffe.NewHandler(a.td, b)
	if err != nil {
		t.Fatal(err)
	}
	return handler.ServeHTTP
}

func TestFD_20_BothProfilesAreFetched(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	t.Run("FD_30 https_spiffe, self-serving from a bundle set by hand", func(t *testing.T) {
		p := newPeer(t, bank.svid(serverPath), honest(t, bank, 7))
		l := newLedger()
		l.set(publish(t, bundle(bank.td, 1, time.Minute, bank)))
		l.relate(spiffe(bank, p.url, serverPath))
		s := succeeding(t, run(t, l, fetch.Options{}), bank.td)
		if s.State != federation.StateActive || s.Sequence != 7 || s.Hint != time.Minute {
			t.Errorf("status %+v", s)
		}
	})
	t.Run("FD_23 https_web, with nothing but the URL and a CA", func(t *testing.T) {
		ca := newAuthority(t, "web")
		p := newPeer(t, ca.web(), honest(t, bank, 7))
		l := newLedger()
		l.relate(web(bank.td, p.url, ca))
		s := succeeding(t, run(t, l, fetch.Options{}), bank.td)
		if s.State != federation.StateActive || s.Sequence != 7 || s.Changes != 1 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestFD_31_AnotherDomainsEndpointIsAuthenticatedByThatDomainsBundle(t *testing.T) {
	bank, host := newAuthority(t, "bank.example"), newAuthority(t, "host.example")
	p := newPeer(t, host.svid("/bundles"), honest(t, bank, 3))
	l := newLedger()
	l.set(publish(t, bundle(host.td, 1, time.Minute, host)))
	r := spiffe(host, p.url, "/bundles")
	r.TrustDomain = bank.td
	l.relate(r)
	pool := run(t, l, fetch.Options{})
	if s := succeeding(t, pool, bank.td); s.Sequence != 3 {
		t.Errorf("status %+v", s)
	}
	// The domain's own authority is not that of its endpoint.
	p.presents(bank.svid("/bundles"))
	l.set(publish(t, bundle(host.td, 2, time.Minute, host))) // closes what is kept
	failing(t, pool, bank.td, "presented spiffe://bank.example/bundles, expected spiffe://host.example/bundles")
}

func TestFD_29_WithoutTheEndpointsBundleNothingIsFetched(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	p := newPeer(t, bank.svid(serverPath), honest(t, bank, 3))
	l := newLedger()
	l.relate(spiffe(bank, p.url, serverPath))
	pool := run(t, l, fetch.Options{})
	s := failing(t, pool, bank.td, "no bundle of bank.example is held", "concord bundle set")
	if s.State != federation.StatePending || p.conns.Load() != 0 {
		t.Errorf("state %s after %d connections", s.State, p.conns.Load())
	}
	l.set(publish(t, bundle(bank.td, 1, time.Minute, bank)))
	succeeding(t, pool, bank.td)
}

// spoiled are certificates that no https_spiffe endpoint may present.
func spoiled(t *testing.T, bank *authority) map[string]struct {
	cert tls.Certificate
	say  string
} {
	other := newAuthority(t, "other.example")
	named := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.URIs = nil
			c.ExtraExtensions = append(c.ExtraExtensions, uriNames(t, names...))
		}
	}
	own := bank.id(serverPath).String()
	type row = struct {
		cert tls.Certificate
		say  string
	}
	return map[string]row{
		"FD_32 the right domain, another ID":     {bank.svid("/spire/other"), "presented spiffe://bank.example/spire/other, expected spiffe://bank.example/spire/server"},
		"FD_32 another domain":                   {other.svid(serverPath), "presented spiffe://other.example/spire/server, expected spiffe://bank.example/spire/server"},
		"FD_32 the right ID, by another domain":  {impostor(t, bank).svid(serverPath), "no authority in the bundle that we hold of bank.example"},
		"XS_8 a CA certificate":                  {tls.Certificate{Certificate: [][]byte{bank.cert.Raw}, PrivateKey: bank.key}, "presented a CA certificate"},
		"XS_20 a leaf with cA=true":              {bank.svid(serverPath, func(c *x509.Certificate) { c.IsCA = true }), "presented a CA certificate"},
		"XS_21 a leaf with keyCertSign":          {bank.svid(serverPath, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }), "may sign certificates"},
		"XS_21 a leaf with cRLSign":              {bank.svid(serverPath, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }), "may sign certificates"},
		"XS_2 two URI names":                     {bank.svid(serverPath, func(c *x509.Certificate) { c.URIs = append(c.URIs, bank.id("/b").URL()) }), "2 URI names"},
		"XS_2 the same name twice":               {bank.svid(serverPath, named(own, own)), "2 URI names"},
		"XS_2 a web certificate":                 {bank.web(), "without a SPIFFE ID"},
		"XS_22 another scheme":                   {bank.svid(serverPath, named("https://bank.example/spire/server")), "which is not a SPIFFE ID"},
		"XS_22 the scheme in upper case":         {bank.svid(serverPath, named("SPIFFE://bank.example/spire/server")), "which is not a SPIFFE ID"},
		"XS_23 no path":                          {bank.svid(serverPath, named("spiffe://bank.example")), "presented spiffe://bank.example, expected"},
		"FD_32 an empty fragment":                {bank.svid(serverPath, named(own+"#")), "expected"},
		"FD_32 an empty query":                   {bank.svid(serverPath, named(own+"?")), "expected"},
		"FD_32 an encoded letter":                {bank.svid(serverPath, named("spiffe://bank.example/spire/serve%72")), "expected"},
		"FD_32 the domain in upper case":         {bank.svid(serverPath, named("spiffe://BANK.example/spire/server")), "expected"},
		"XS_19 expired":                          {bank.svid(serverPath, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), "expired on"},
		"XS_19 not yet valid":                    {bank.svid(serverPath, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), "valid only from"},
		"XS_19 an intermediate that is no CA":    {bank.intermediate(func(c *x509.Certificate) { c.IsCA = false; c.KeyUsage = x509.KeyUsageDigitalSignature }).svid(serverPath), "certificate"},
		"XS_19 a longer path than allowed":       {bank.intermediate(func(c *x509.Certificate) { c.MaxPathLenZero = true }).intermediate().svid(serverPath), "certificate"},
		"XS_19 an unknown critical extension":    {bank.svid(serverPath, unknownCritical), "critical"},
		"XS_19 a usage that is not the server's": {bank.svid(serverPath, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "usage"},
		"XS_19 an intermediate for other usages": {bank.intermediate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }).svid(serverPath), "usage"},
		"XS_11 a name outside the constraint": {bank.intermediate(func(c *x509.Certificate) {
			c.PermittedURIDomains = []string{"other"}
			c.PermittedDNSDomainsCritical = true
		}).svid(serverPath), "certificate"},
		"a chain without end": {long(bank.svid(serverPath)), "the most is 10"},
	}
}

func impostor(t *testing.T, a *authority) *authority { return newAuthority(t, a.td.Name()) }

func unknownCritical(c *x509.Certificate) {
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
}

func long(c tls.Certificate) tls.Certificate {
	for len(c.Certificate) < 20 {
		c.Certificate = append(c.Certificate, c.Certificate[0])
	}
	return c
}

// uriNames is a subject alternative name extension with these bytes as URIs.
func uriNames(t *testing.T, names ...string) pkix.Extension {
	t.Helper()
	var values []asn1.RawValue
	for _, n := range names {
		values = append(values, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(n)})
	}
	der, err := asn1.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: der}
}

func TestFD_32_TheEndpointPresentsAnX509SVIDOfExactlyTheConfiguredID(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	p := newPeer(t, bank.svid(serverPath), honest(t, bank, 9))
	l := newLedger()
	l.set(publish(t, bundle(bank.td, 1, fetchLimit, bank))) // an interval at which no connection is kept
	l.relate(spiffe(bank, p.url, serverPath))
	pool := run(t, l, fetch.Options{Limits: fetch.Limits{KeepUpTo: time.Nanosecond}})
	succeeding(t, pool, bank.td)
	for name, row := range spoiled(t, bank) {
		t.Run(name, func(t *testing.T) {
			p.presents(row.cert)
			p.now(func(http.ResponseWriter, *http.Request) {
				t.Error("a request was sent to an endpoint that is not the peer's")
			})
			failing(t, pool, bank.td, row.say)
		})
	}
	p.now(honest(t, bank, 9))
	for name, cert := range map[string]tls.Certificate{
		"by the root itself":         bank.svid(serverPath),
		"by two intermediates":       bank.intermediate().intermediate().svid(serverPath),
		"without extended key usage": bank.svid(serverPath, func(c *x509.Certificate) { c.ExtKeyUsage = nil }),
		"with names of hosts beside": bank.svid(serverPath, func(c *x509.Certificate) { c.DNSNames = []string{"bank.example"} }),
		"XS_11 within a constraint":  bank.intermediate(func(c *x509.Certificate) { c.PermittedURIDomains = []string{"bank.example"} }).svid(serverPath),
	} {
		t.Run(name, func(t *testing.T) {
			p.presents(cert)
			succeeding(t, pool, bank.td)
		})
	}
}

const fetchLimit = time.Hour

func TestXS_11_NamesThatLookLikeHostsOrAddresses(t *testing.T) {
	for name, row := range map[string]struct {
		td, permitted string
		works         bool
	}{
		"an underscore inside the constraint":                    {"a_b", "a_b", true},
		"an underscore outside the constraint":                   {"a_b", "a_c", false},
		"an address, which no constraint can be said to permit":  {"10.0.0.1", "bank.example", false},
		"an address without constraints":                         {"10.0.0.1", "", true},
		"a subdomain of a constraint for exactly another domain": {"a.bank.example", "bank.example", false},
		"a subdomain of a constraint for all of them":            {"a.bank.example", ".bank.example", true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, row.td)
			issuer := a.intermediate(func(c *x509.Certificate) {
				if row.permitted != "" {
					c.PermittedURIDomains = []string{row.permitted}
				}
			})
			p := newPeer(t, issuer.svid(serverPath), honest(t, a, 2))
			l := newLedger()
			l.set(publish(t, bundle(a.td, 1, time.Minute, a)))
			l.relate(spiffe(a, p.url, serverPath))
			pool := run(t, l, fetch.Options{})
			if row.works {
				succeeding(t, pool, a.td)
			} else {
				failing(t, pool, a.td, "certificate")
			}
		})
	}
}

func TestXS_23_ARelationshipThatExpectsADomainsOwnIDIsNotPolled(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	p := newPeer(t, bank.svid(serverPath, func(c *x509.Certificate) { c.URIs = []*url.URL{bank.td.ID().URL()} }), honest(t, bank, 2))
	l := newLedger()
	l.set(publish(t, bundle(bank.td, 1, time.Minute, bank)))
	l.relate(federation.Relationship{TrustDomain: bank.td, URL: p.url, Profile: federation.HTTPSSPIFFE, EndpointID: bank.td.ID()})
	failing(t, run(t, l, fetch.Options{}), bank.td, "authenticates nobody")
}

func TestFD_33_EachConnectionIsAuthenticatedByTheLatestBundle(t *testing.T) {
	first, second, third := newAuthority(t, "bank.example"), newAuthority(t, "bank.example"), newAuthority(t, "bank.example")
	td := first.td
	p := newPeer(t, first.svid(serverPath), document(t, bundle(td, 2, time.Minute, first, second)))
	l := newLedger()
	l.set(publish(t, bundle(td, 1, time.Minute, first)))
	l.relate(spiffe(first, p.url, serverPath))
	pool := run(t, l, fetch.Options{})
	succeeding(t, pool, td)

	// The root turns twice; each is used once it was published.
	p.presents(second.svid(serverPath))
	p.now(document(t, bundle(td, 3, time.Minute, second, third)))
	succeeding(t, pool, td)
	p.presents(third.svid(serverPath))
	p.now(document(t, bundle(td, 4, time.Minute, third)))
	succeeding(t, pool, td)

	// A new node knows the latest bundle only.
	restarted := run(t, l, fetch.Options{})
	succeeding(t, restarted, td)

	// What was removed admits nothing, on either node, not even on the
	// connections that they kept.
	p.presents(second.svid(serverPath))
	p.now(document(t, bundle(td, 5, time.Minute, second)))
	fourth := newAuthority(t, "bank.example")
	l.set(publish(t, bundle(td, 5, time.Minute, third, fourth)))
	failing(t, pool, td, "no authority in the bundle that we hold of bank.example (sequence 5)")
	failing(t, restarted, td, "no authority in the bundle that we hold of bank.example (sequence 5)")
}

func TestFD_33_NoSessionIsResumed(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	resumed := false
	p := newPeer(t, bank.svid(serverPath), func(w http.ResponseWriter, r *http.Request) {
		resumed = resumed || r.TLS.DidResume
		document(t, bundle(bank.td, 2, time.Minute, bank))(w, r)
	})
	l := newLedger()
	l.set(publish(t, bundle(bank.td, 2, time.Hour, bank)))
	l.relate(spiffe(bank, p.url, serverPath))
	pool := run(t, l, fetch.Options{Limits: fetch.Limits{KeepUpTo: time.Nanosecond}})
	for range 3 {
		succeeding(t, pool, bank.td)
	}
	if resumed || p.conns.Load() < 3 {
		t.Errorf("resumed %v, connections %d", resumed, p.conns.Load())
	}
}

func TestFD_33_AKeptConnectionEndsWithTheBundleThatAuthenticatedIt(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	b := bundle(bank.td, 2, time.Minute, bank)
	p := newPeer(t, bank.svid(serverPath), document(t, b))
	l := newLedger()
	l.set(publish(t, b))
	l.relate(spiffe(bank, p.url, serverPath))
	pool := run(t, l, fetch.Options{})
	for range 3 {
		succeeding(t, pool, bank.td)
	}
	if n := p.conns.Load(); n != 1 {
		t.Fatalf("%d connections for an unchanged bundle, want 1", n)
	}
	l.set(publish(t, bundle(bank.td, 3, time.Minute, bank)))
	refresh(t, pool, bank.td)
	if n := p.conns.Load(); n != 2 {
		t.Fatalf("%d connections after the bundle changed, want 2", n)
	}
}

func TestFD_33_AnAnswerDoesNotOutliveItsAnchor(t *testing.T) {
	old, next := newAuthority(t, "bank.example"), newAuthority(t, "bank.example")
	l := newLedger()
	l.set(publish(t, bundle(old.td, 1, time.Minute, old)))
	p := newPeer(t, old.svid(serverPath), func(w http.ResponseWriter, r *http.Request) {
		// While the old key's holder answers, an operator removes that key.
		l.set(publish(t, bundle(old.td, 2, time.Minute, next)))
		document(t, bundle(old.td, 9, time.Minute, old))(w, r)
	})
	l.relate(spiffe(old, p.url, serverPath))
	failing(t, run(t, l, fetch.Options{}), old.td, "no authority in the bundle that we hold")
	if puts := l.stored(); len(puts) != 0 {
		t.Errorf("stored sequence %d by a key that was removed", puts[0].Bundle.Sequence)
	}
}
