package registrar_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memcluster"
)

// csr makes a request whose URI SANs hold exactly these bytes.
func csr(t testing.TB, template x509.CertificateRequest, uris ...string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var names []asn1.RawValue
	for _, u := range uris {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(u)})
	}
	for _, d := range template.DNSNames {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte(d)})
	}
	san, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: san})
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestMintX509TakesNameAndKeyFromTheCSRAndNothingElse(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	caBits, err := asn1.Marshal(struct{ IsCA bool }{true})
	if err != nil {
		t.Fatal(err)
	}
	request := csr(t, x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: "db", Organization: []string{"Acme"}},
		DNSNames:        []string{"db.acme.example"},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: caBits}},
	}, "spiffe://acme.example/db")
	svid, err := c.Registrar.MintX509(t.Context(), memcluster.Admin, registrar.MintX509{CSR: request, TTL: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	leaf := parsed(t, svid)
	if svid.ID.String() != "spiffe://acme.example/db" || leaf.IsCA || leaf.DNSNames[0] != "db.acme.example" || leaf.Subject.CommonName != "db" {
		t.Errorf("minted %s, %v, CA %v, subject %s", svid.ID, leaf.DNSNames, leaf.IsCA, leaf.Subject)
	}
	if ttl := time.Until(svid.NotAfter); ttl > 10*time.Minute || ttl < 9*time.Minute {
		t.Errorf("lives %s, want ten minutes", ttl)
	}
	var chain []*x509.Certificate
	for _, der := range svid.Certificates {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, cert)
	}
	if id, _, err := x509svid.Verify(chain, c.X509Bundle()); err != nil || id != svid.ID {
		t.Errorf("go-spiffe verifies %s, %v", id, err)
	}
}

func TestMintX509RefusesWhatIsNotAnIDOfOursByteForByte(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	for name, request := range map[string][]byte{
		"nothing":             nil,
		"no CSR":              []byte("x"),
		"no URI":              csr(t, x509.CertificateRequest{}),
		"two URIs":            csr(t, x509.CertificateRequest{}, "spiffe://acme.example/a", "spiffe://acme.example/b"),
		"a foreign domain":    csr(t, x509.CertificateRequest{}, "spiffe://bank.example/a"),
		"a reserved path":     csr(t, x509.CertificateRequest{}, "spiffe://acme.example/spire/server"),
		"the domain itself":   csr(t, x509.CertificateRequest{}, "spiffe://acme.example"),
		"an upper-case name":  csr(t, x509.CertificateRequest{}, "SPIFFE://acme.example/a"),
		"a percent escape":    csr(t, x509.CertificateRequest{}, "spiffe://acme.example/%61"),
		"a trailing slash":    csr(t, x509.CertificateRequest{}, "spiffe://acme.example/a/"),
		"a query":             csr(t, x509.CertificateRequest{}, "spiffe://acme.example/a?b"),
		"a bad DNS name":      csr(t, x509.CertificateRequest{DNSNames: []string{"a..b"}}, "spiffe://acme.example/a"),
		"the same name twice": csr(t, x509.CertificateRequest{DNSNames: []string{"a.b", "a.b"}}, "spiffe://acme.example/a"),
		"a broken signature":  flip(csr(t, x509.CertificateRequest{}, "spiffe://acme.example/a")),
		"a small RSA key":     smallKey(t),
		"a huge subject":      csr(t, x509.CertificateRequest{Subject: pkix.Name{Organization: []string{strings.Repeat("x", ca.MaxSubjectBytes)}}}, "spiffe://acme.example/a"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Registrar.MintX509(t.Context(), memcluster.Admin, registrar.MintX509{CSR: request})
			wantCode(t, err, broker.InvalidArgument)
		})
	}
	_, err := c.Registrar.MintX509(t.Context(), memcluster.Admin, registrar.MintX509{CSR: csr(t, x509.CertificateRequest{}, "spiffe://acme.example/a"), TTL: -time.Second})
	wantCode(t, err, broker.InvalidArgument)
}

func flip(der []byte) []byte {
	der[len(der)-1] ^= 1
	return der
}

func smallKey(t testing.TB) []byte {
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestMintJWT(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	id := c.ID("/db")
	svid, err := c.Registrar.MintJWT(t.Context(), memcluster.Admin, registrar.MintJWT{ID: id, Audience: []string{"bank"}})
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := jwtsvid.ParseAndValidate(svid.Token, c.JWTBundle(), []string{"bank"}); err != nil || parsed.ID != id {
		t.Errorf("go-spiffe reads %v, %v", parsed, err)
	}
	for name, in := range map[string]registrar.MintJWT{
		"no audience":       {ID: id},
		"an empty audience": {ID: id, Audience: []string{"a", ""}},
		"a huge audience":   {ID: id, Audience: []string{strings.Repeat("x", ca.MaxAudienceBytes+1)}},
		"no ID":             {Audience: []string{"a"}},
		"a foreign ID":      {ID: spiffeid.RequireFromString("spiffe://bank.example/a"), Audience: []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Registrar.MintJWT(t.Context(), memcluster.Admin, in)
			wantCode(t, err, broker.InvalidArgument)
		})
	}
}

func TestAMintedTokenLivesNoLongerThanAnOldAuthorityVouches(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	long := registrar.MintJWT{ID: c.ID("/db"), Audience: []string{"a"}, TTL: 48 * time.Hour}
	for _, longest := range []time.Duration{5 * time.Minute, 2 * time.Hour} {
		svid, err := c.Registrar.MintJWT(t.Context(), memcluster.Admin, long)
		if got := svid.ExpiresAt.Sub(svid.IssuedAt); err != nil || got != longest {
			t.Errorf("lives %s (%v), want %s", got, err, longest)
		}
		e := entry("/batch", 1)
		e.JWTTTL = 2 * time.Hour
		if c.View().EntryCount() == 0 {
			create(t, c, e)
		}
	}
}

func TestANodeThatCannotSignIsUnavailable(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	c.Signer.Fail(ca.ErrNotReady)
	_, err := c.Registrar.MintJWT(t.Context(), memcluster.Admin, registrar.MintJWT{ID: c.ID("/db"), Audience: []string{"a"}})
	wantCode(t, err, broker.Unavailable)
	broken := errors.New("broken")
	c.Signer.Fail(broken)
	_, err = c.Registrar.MintX509(t.Context(), memcluster.Admin, registrar.MintX509{CSR: csr(t, x509.CertificateRequest{}, "spiffe://acme.example/a")})
	if !errors.Is(err, broken) || broker.CodeOf(err) != "" {
		t.Errorf("error is %v, want an internal one", err)
	}
}

// parsed is the leaf of an SVID.
func parsed(t testing.TB, svid ca.X509SVID) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(svid.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}
