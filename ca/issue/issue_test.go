package issue_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
)

var (
	acme = spiffeid.RequireTrustDomainFromString("acme.example")
	web  = spiffeid.RequireFromString("spiffe://acme.example/web")
	// began is a whole second, as everything in certificates is.
	began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

const day = 24 * time.Hour

func domainOf(kt ca.KeyType) issue.Domain {
	return issue.Domain{Keys: keys.NewMemory(), Cluster: "cluster", TrustDomain: acme, KeyType: kt}
}

func ecKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// authority is a domain's first authority of a use.
func authority(t testing.TB, d issue.Domain, use ca.Use) ca.Authority {
	t.Helper()
	a, err := d.NewAuthority(use, 90*day, began)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// intermediate is signed by root for key and lives a day.
func intermediate(t testing.TB, d issue.Domain, root ca.Authority, key crypto.Signer) *issue.Intermediate {
	t.Helper()
	der, err := d.SignIntermediate(root, key.Public(), day, began)
	if err != nil {
		t.Fatal(err)
	}
	in, err := issue.NewIntermediate(der, key, root.ID)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// ready is an Issuer of a domain with authorities of kind kt, and its root.
func ready(t testing.TB, kt ca.KeyType) (*issue.Issuer, *x509.Certificate) {
	t.Helper()
	d := domainOf(kt)
	root, token := authority(t, d, ca.X509), authority(t, d, ca.JWT)
	cert, err := root.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := d.Open(token)
	if err != nil {
		t.Fatal(err)
	}
	key, err := issue.NewJWTKey(acme, token, signer)
	if err != nil {
		t.Fatal(err)
	}
	i := issue.New()
	i.SetX509(intermediate(t, d, root, ecKey(t, elliptic.P256())))
	i.SetJWT(key)
	return i, cert
}

func x509SVID(t testing.TB, i *issue.Issuer, req ca.X509Request) ca.X509SVID {
	t.Helper()
	svid, err := i.X509SVID(req, began)
	if err != nil {
		t.Fatal(err)
	}
	return svid
}

// chain is an SVID's certificates, parsed.
func chain(t testing.TB, svid ca.X509SVID) []*x509.Certificate {
	t.Helper()
	var out []*x509.Certificate
	for _, der := range svid.Certificates {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, cert)
	}
	return out
}

func bundleOf(roots ...*x509.Certificate) *x509bundle.Bundle {
	return x509bundle.FromX509Authorities(acme, roots)
}

// published is a as the JWT keys that VerifyJWTSVID wants.
func published(t testing.TB, key crypto.PublicKey, kid string) ca.JWTKeys {
	t.Helper()
	return jwtKeys(map[string]crypto.PublicKey{kid: key})
}
