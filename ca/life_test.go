package ca_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
)

func TestFD_2_TheWindowIsThreeOfTheLargestHints(t *testing.T) {
	a := ca.Authority{PreparedAt: began, LargestHint: 5 * time.Minute}
	for name, test := range map[string]struct{ window, want time.Duration }{
		"from the hint": {-1, 15 * time.Minute},
		"configured":    {time.Hour, time.Hour},
		"none":          {0, 0},
	} {
		if got := ca.Earliest(a, test.window).Sub(began); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestFD_4_AnAuthorityVouchesForTheLastSVIDOfTheSlowestNode(t *testing.T) {
	terms := ca.Terms{Window: -1, AuthorityTTL: 90 * day, IntermediateTTL: day, JWTTTL: time.Hour, Staleness: 10 * time.Minute}
	// A node that is cut off goes on for Staleness with what it has.
	if got, least := terms.VouchFor(ca.X509), day+10*time.Minute; got < least {
		t.Errorf("x509 vouches for %s, want at least %s", got, least)
	}
	if got, least := terms.VouchFor(ca.JWT), time.Hour+10*time.Minute+ca.JWTLeeway; got < least {
		t.Errorf("jwt vouches for %s, want at least %s", got, least)
	}
}

func TestAuthoritiesThatAreNotWhatTheySay(t *testing.T) {
	root, _ := authority(t, acme, ca.X509, ca.P256)
	token, _ := authority(t, acme, ca.JWT, ca.P256)
	other, _ := authority(t, acme, ca.JWT, ca.P256)
	for _, a := range []ca.Authority{root, token} {
		if err := a.Validate(acme); err != nil {
			t.Fatalf("a good %s authority: %v", a.Use, err)
		}
		if err := a.Validate(spiffeid.TrustDomain{}); err != nil {
			t.Fatalf("a good %s authority of any domain: %v", a.Use, err)
		}
	}
	for name, test := range map[string]struct {
		a      ca.Authority
		change func(*ca.Authority)
	}{
		"unknown use":            {root, func(a *ca.Authority) { a.Use = 9 }},
		"unknown status":         {root, func(a *ca.Authority) { a.Status = 0 }},
		"no private key":         {root, func(a *ca.Authority) { a.Sealed = nil }},
		"ends before it begins":  {root, func(a *ca.Authority) { a.NotAfter = a.NotBefore }},
		"no certificate":         {root, func(a *ca.Authority) { a.Public = nil }},
		"other ID":               {root, func(a *ca.Authority) { a.ID = token.ID }},
		"other times":            {root, func(a *ca.Authority) { a.NotAfter = a.NotAfter.Add(time.Hour) }},
		"other kind of key":      {root, func(a *ca.Authority) { a.KeyType = ca.P384 }},
		"key not a key":          {token, func(a *ca.Authority) { a.Public = []byte("key") }},
		"JWT key of another":     {token, func(a *ca.Authority) { a.Public = other.Public }},
		"certificate as JWT key": {token, func(a *ca.Authority) { a.Public = root.Public }},
	} {
		a := test.a
		test.change(&a)
		if err := a.Validate(acme); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := root.Validate(bank); err == nil {
		t.Error("acme's root was accepted for bank")
	}
	if _, err := token.Certificate(); err == nil {
		t.Error("a JWT authority has a certificate")
	}
}

func TestRootsThatAreNotSigningCertificates(t *testing.T) {
	good, signer := authority(t, acme, ca.X509, ca.P256)
	_, stranger := authority(t, acme, ca.X509, ca.P256)
	for name, test := range map[string]struct {
		change func(*x509.Certificate)
		other  bool // signed by another key
	}{
		"XS_9 no CA":                {change: func(c *x509.Certificate) { c.IsCA = false }},
		"XS_14 no keyCertSign":      {change: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }},
		"XS_31 digitalSignature":    {change: func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature }},
		"XS_5 no SPIFFE ID":         {change: func(c *x509.Certificate) { c.URIs = nil }},
		"XS_1 two SPIFFE IDs":       {change: func(c *x509.Certificate) { c.URIs = append(c.URIs, uri("spiffe://bank.example")) }},
		"XS_6 an ID with a path":    {change: func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://acme.example/ca")} }},
		"ID_13 a trailing slash":    {change: func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://acme.example/")} }},
		"XS_7 another trust domain": {change: func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://bank.example")} }},
		"XS_28 not self-signed":     {change: func(c *x509.Certificate) {}, other: true},
	} {
		t.Run(name, func(t *testing.T) {
			id, _ := hex.DecodeString(good.ID)
			template := &x509.Certificate{
				SerialNumber: big.NewInt(1), NotBefore: good.NotBefore, NotAfter: good.NotAfter,
				BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
				SubjectKeyId: id, URIs: []*url.URL{uri("spiffe://acme.example")},
			}
			parent := *template
			test.change(template)
			if !template.IsCA {
				template.MaxPathLen = -1
			}
			key := signer
			if test.other {
				key = stranger
			}
			der, err := x509.CreateCertificate(rand.Reader, template, &parent, signer.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			a := good
			a.Public = der
			if err := a.Validate(acme); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func uri(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}
