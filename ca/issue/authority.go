package issue

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
)

// Domain makes a trust domain's authorities and opens them. Its methods do
// cryptography that the hot path does not wait for.
type Domain struct {
	Keys        Keys
	Cluster     string // the cluster's ID, to which sealed keys are bound
	TrustDomain spiffeid.TrustDomain
	KeyType     ca.KeyType // of new authorities
}

// NewAuthority makes a key and, for X509, its self-signed root. The authority
// is Prepared and lives ttl; a domain's first ones are made Active by whoever
// founds it. ActivatedAt and the other moments are the state's to set.
func (d Domain) NewAuthority(use ca.Use, ttl time.Duration, now time.Time) (ca.Authority, error) {
	signer, sealed, err := d.Keys.Generate(d.binding(use, ""), d.KeyType)
	if err != nil {
		return ca.Authority{}, fmt.Errorf("make a key for the next %s authority: %w", use, err)
	}
	id, err := ca.KeyID(signer.Public())
	if err != nil {
		return ca.Authority{}, fmt.Errorf("name the next %s authority: %w", use, err)
	}
	a := ca.Authority{
		ID: id, Use: use, KeyType: d.KeyType, Status: ca.Prepared, Sealed: sealed,
		NotBefore: now.Add(-ca.ClockMargin).UTC().Truncate(time.Second),
		NotAfter:  now.Add(ttl).UTC().Truncate(time.Second),
	}
	if use == ca.X509 {
		a.Public, err = Root(signer, d.TrustDomain, a.NotBefore, a.NotAfter)
	} else {
		a.Public, err = x509.MarshalPKIXPublicKey(signer.Public())
	}
	if err != nil {
		return ca.Authority{}, fmt.Errorf("make the next %s authority: %w", use, err)
	}
	return a, a.Validate(d.TrustDomain)
}

// Open returns the private key of a, whose public half is checked.
func (d Domain) Open(a ca.Authority) (crypto.Signer, error) {
	signer, err := d.Keys.Open(d.binding(a.Use, a.ID), a.Sealed)
	if err != nil {
		return nil, err
	}
	want, err := a.PublicKey()
	if err != nil {
		return nil, err
	}
	if pub, ok := want.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(signer.Public()) {
		return nil, fmt.Errorf("the sealed key of %s authority %s is not the one that it publishes", a.Use, a.ID)
	}
	return signer, nil
}

func (d Domain) binding(use ca.Use, authority string) ca.Binding {
	return ca.Binding{Cluster: d.Cluster, TrustDomain: d.TrustDomain, Use: use, Authority: authority}
}

// SignIntermediate signs a node's intermediate for pub with root a. Only the
// leader does this.
func (d Domain) SignIntermediate(a ca.Authority, pub crypto.PublicKey, ttl time.Duration, now time.Time) ([]byte, error) {
	return d.signCA(a, pub, ttl, now, func(template *x509.Certificate) {
		template.MaxPathLenZero = true // a node's intermediate signs leaves only
	})
}

// SignDownstream signs the CA of a downstream server of this trust domain with
// root a: never with an intermediate, so that it outlives no node.
func (d Domain) SignDownstream(a ca.Authority, pub crypto.PublicKey, ttl time.Duration, now time.Time) ([]byte, error) {
	return d.signCA(a, pub, ttl, now, func(template *x509.Certificate) { template.MaxPathLen = -1 })
}

func (d Domain) signCA(a ca.Authority, pub crypto.PublicKey, ttl time.Duration, now time.Time, adapt func(*x509.Certificate)) ([]byte, error) {
	root, err := a.Certificate()
	if err != nil {
		return nil, err
	}
	if !now.Before(root.NotAfter) {
		return nil, fmt.Errorf("%w: X.509 authority %s ended at %s", ErrNotReady, a.ID, root.NotAfter.UTC().Format(time.RFC3339))
	}
	if err := ca.CheckPublicKey(pub); err != nil {
		return nil, err
	}
	signer, err := d.Open(a)
	if err != nil {
		return nil, err
	}
	notBefore := latest(now.Add(-ca.ClockMargin), root.NotBefore)
	template, err := authorityTemplate(pub, d.TrustDomain, notBefore, earliest(now.Add(ttl), root.NotAfter))
	if err != nil {
		return nil, err
	}
	adapt(template)
	return x509.CreateCertificate(rand.Reader, template, root, pub, signer)
}

// Root returns a self-signed root certificate of td as DER (X509-SVID §3.2,
// §4): it names the trust domain, is a CA, and has the key usages keyCertSign
// and cRLSign and no other (appendix A).
func Root(signer crypto.Signer, td spiffeid.TrustDomain, notBefore, notAfter time.Time) ([]byte, error) {
	template, err := authorityTemplate(signer.Public(), td, notBefore, notAfter)
	if err != nil {
		return nil, err
	}
	template.MaxPathLen = -1
	return x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
}

// authorityTemplate is what every signing certificate of td says. Its path
// length is the caller's to set.
func authorityTemplate(pub crypto.PublicKey, td spiffeid.TrustDomain, notBefore, notAfter time.Time) (*x509.Certificate, error) {
	keyID, err := ca.SubjectKeyID(pub)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               authorityName(hex.EncodeToString(keyID)),
		NotBefore:             notBefore.UTC(),
		NotAfter:              notAfter.UTC(),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		SubjectKeyId:          keyID,
		AuthorityKeyId:        nil, // CreateCertificate takes the issuer's; a root has none
		URIs:                  []*url.URL{td.ID().URL()},
	}, nil
}
