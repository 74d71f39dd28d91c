package issue_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	mathrand "math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
)

// TestTheSignedBytesAreThoseOfCreateCertificate asks for leaves of all shapes,
// and compares what was signed with what crypto/x509 makes of the same.
func TestTheSignedBytesAreThoseOfCreateCertificate(t *testing.T) {
	seed := mathrand.Uint64()
	r := mathrand.New(mathrand.NewPCG(seed, 0))
	workloads := []crypto.Signer{ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521()), rsaKey(t)}
	for _, key := range []crypto.Signer{ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), rsaKey(t)} {
		d := domainOf(ca.P256)
		root, err := d.NewAuthority(ca.X509, 100*365*day, began)
		if err != nil {
			t.Fatal(err)
		}
		der, err := d.SignIntermediate(root, key.Public(), 100*365*day, began)
		if err != nil {
			t.Fatal(err)
		}
		in, err := issue.NewIntermediate(der, key, root.ID)
		if err != nil {
			t.Fatal(err)
		}
		i := issue.New()
		i.SetX509(in)
		for range 60 {
			req, now := randomRequest(r, workloads)
			svid, err := i.X509SVID(req, now)
			if err != nil {
				t.Fatalf("seed %d: %+v: %v", seed, req, err)
			}
			want := createCertificate(t, in, key, req, chain(t, svid)[0].SerialNumber, now)
			if !bytes.Equal(chain(t, svid)[0].RawTBSCertificate, want.RawTBSCertificate) {
				t.Fatalf("seed %d: for %+v\nsigned %x\nwant   %x", seed, req, chain(t, svid)[0].RawTBSCertificate, want.RawTBSCertificate)
			}
			if err := chain(t, svid)[0].CheckSignatureFrom(in.Certificate()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
}

// createCertificate is the leaf that crypto/x509 makes by the specification.
func createCertificate(t *testing.T, in *issue.Intermediate, key crypto.Signer, req ca.X509Request, serial *big.Int, now time.Time) *x509.Certificate {
	t.Helper()
	keyID, err := ca.SubjectKeyID(req.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	usage := x509.KeyUsageDigitalSignature
	if _, ok := req.PublicKey.(*rsa.PublicKey); ok {
		usage |= x509.KeyUsageKeyEncipherment
	}
	subject := pkix.Name{Organization: []string{"Concord"}}
	if len(req.DNSNames) > 0 && len(req.DNSNames[0]) <= 64 {
		subject.CommonName = req.DNSNames[0]
	}
	if req.Subject != nil {
		subject = *req.Subject
	}
	notAfter := now.Add(req.TTL)
	if notAfter.After(in.NotAfter()) {
		notAfter = in.NotAfter()
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: now.Add(-10 * time.Second).Truncate(time.Second), NotAfter: notAfter.Truncate(time.Second),
		KeyUsage: usage, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, SubjectKeyId: keyID,
		DNSNames: req.DNSNames, URIs: []*url.URL{req.ID.URL()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, in.Certificate(), req.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func randomRequest(r *mathrand.Rand, workloads []crypto.Signer) (ca.X509Request, time.Time) {
	letters := func(alphabet string, n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(alphabet[r.IntN(len(alphabet))])
		}
		return b.String()
	}
	req := ca.X509Request{
		ID:        spiffeid.RequireFromString("spiffe://acme.example/x" + letters("abcXYZ019-_.", r.IntN(200))),
		PublicKey: workloads[r.IntN(len(workloads))].Public(),
		TTL:       time.Duration(1+r.Int64N(int64(60*365*day/time.Second))) * time.Second,
	}
	if r.IntN(10) == 0 {
		req.ID = spiffeid.RequireFromString("spiffe://acme.example/" + strings.Repeat("p", 2048-len("spiffe://acme.example/")))
	}
	for range r.IntN(4) {
		req.DNSNames = append(req.DNSNames, letters("*", r.IntN(2))+"."+letters("abcXYZ019_", 1+r.IntN(20))+"."+letters("abc", 1+r.IntN(63)))
	}
	for i := range req.DNSNames {
		req.DNSNames[i] = strings.TrimPrefix(req.DNSNames[i], ".")
	}
	switch r.IntN(6) {
	case 0:
		req.Subject = &pkix.Name{}
	case 1:
		req.Subject = &pkix.Name{Country: []string{"DE"}, Organization: []string{"Bücher & Söhne", letters("abc", 5)}, CommonName: letters("ab *@_", 1+r.IntN(40))}
	}
	// Up to 2060, so that both encodings of time occur.
	return req, began.Add(time.Duration(r.Int64N(int64(35 * 365 * day))))
}
