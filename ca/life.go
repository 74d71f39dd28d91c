package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// PublicationHints is how many of the largest refresh hint served must pass
// between publishing an authority and using it (SPIFFE Federation §4.1: 3 to 5).
const PublicationHints = 3

// ClockMargin is by how much the clocks of a healthy cluster differ at most.
const ClockMargin = time.Minute

// Terms are the settings that an authority's life depends on.
type Terms struct {
	Window          time.Duration // from publication to use; negative: PublicationHints × the largest refresh hint served
	AuthorityTTL    time.Duration // life of a root and of a JWT key, from the moment it is prepared
	IntermediateTTL time.Duration // life of a node's intermediate
	JWTTTL          time.Duration // the longest that a token may live: the largest of the domain's and of every entry's
	Staleness       time.Duration // how long a node without a leader goes on issuing
}

// Validate says which terms cannot be kept. A root is used for about a third
// of its life and must still vouch for what it signed when it is replaced.
func (t Terms) Validate() error {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"an authority", t.AuthorityTTL}, {"a node intermediate", t.IntermediateTTL}, {"a JWT-SVID", t.JWTTTL},
	} {
		if d.value <= 0 {
			return fmt.Errorf("the life of %s is %s: choose a positive one", d.name, d.value)
		}
	}
	if t.Staleness < 0 {
		return fmt.Errorf("the staleness limit is %s: choose a positive one", t.Staleness)
	}
	least := 3 * max(t.VouchFor(X509), t.VouchFor(JWT))
	if t.AuthorityTTL < least {
		return fmt.Errorf("an authority that lives %s cannot vouch for all that it signs: choose at least %s, "+
			"three times what its last SVIDs may need, or shorten the intermediate (%s) and the JWT-SVID (%s)",
			t.AuthorityTTL, least, t.IntermediateTTL, t.JWTTTL)
	}
	return nil
}

// VouchFor is for how long an authority that stops signing must stay in the
// bundle: until the last SVID signed by it has ended, on a node that did not
// hear of the change before it became stale.
func (t Terms) VouchFor(use Use) time.Duration {
	if use == JWT {
		return t.JWTTTL + t.Staleness + ClockMargin
	}
	return t.IntermediateTTL + t.Staleness + ClockMargin
}

// Earliest is the first moment at which a may be activated without force.
// A negative window means PublicationHints times the largest refresh hint
// served since a was published (SPIFFE Federation §4.1).
func Earliest(a Authority, window time.Duration) time.Time {
	if window < 0 {
		window = PublicationHints * a.LargestHint
	}
	return a.PreparedAt.Add(window)
}

// ActivationDue is when active should be replaced: when half of the life that
// it had left at its activation has passed.
func ActivationDue(active Authority) time.Time {
	return active.ActivatedAt.Add(active.NotAfter.Sub(active.ActivatedAt) / 2)
}

// Certificate is an X.509 authority's certificate.
func (a Authority) Certificate() (*x509.Certificate, error) {
	if a.Use != X509 {
		return nil, fmt.Errorf("authority %.80q signs %s and has no certificate", a.ID, a.Use)
	}
	cert, err := x509.ParseCertificate(a.Public)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of authority %.80q: %w", a.ID, err)
	}
	return cert, nil
}

// PublicKey is the key that a's signatures are checked with.
func (a Authority) PublicKey() (crypto.PublicKey, error) {
	if a.Use == X509 {
		cert, err := a.Certificate()
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	}
	pub, err := x509.ParsePKIXPublicKey(a.Public)
	if err != nil {
		return nil, fmt.Errorf("read the public key of authority %.80q: %w", a.ID, err)
	}
	return pub, nil
}

// Validate says what is wrong with a as an authority of td; a zero td is any
// one.
func (a Authority) Validate(td spiffeid.TrustDomain) error {
	switch {
	case a.Use != X509 && a.Use != JWT:
		return fmt.Errorf("authority %.80q is for %s, which is not known", a.ID, a.Use)
	case a.Status != Prepared && a.Status != Active && a.Status != Old:
		return fmt.Errorf("authority %.80q has %s, which is not known", a.ID, a.Status)
	case len(a.Sealed) == 0:
		return fmt.Errorf("authority %.80q has no private key", a.ID)
	case !a.NotBefore.Before(a.NotAfter):
		return fmt.Errorf("authority %.80q ends at %s, before it begins", a.ID, a.NotAfter.UTC().Format(time.RFC3339))
	}
	pub, err := a.PublicKey()
	if err != nil {
		return err
	}
	kind, err := KeyTypeOf(pub)
	if err != nil {
		return err
	}
	if kind != a.KeyType {
		return fmt.Errorf("authority %.80q says that its key is %s and it is %s", a.ID, a.KeyType, kind)
	}
	if a.Use == X509 {
		return a.validateRoot(td)
	}
	if id, err := KeyID(pub); err != nil || id != a.ID {
		return fmt.Errorf("authority %.80q is not named by its key, which is %s", a.ID, id)
	}
	return nil
}

// validateRoot holds the rules of a signing certificate (X509-SVID §3.2, §4,
// appendix A).
func (a Authority) validateRoot(td spiffeid.TrustDomain) error {
	cert, err := a.Certificate()
	if err != nil {
		return err
	}
	bad := func(what string) error { return fmt.Errorf("the certificate of authority %.80q %s", a.ID, what) }
	switch {
	case a.ID == "" || hex.EncodeToString(cert.SubjectKeyId) != a.ID:
		return bad("has another subject key identifier than the authority's ID")
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return bad("is not a CA's")
	case cert.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign:
		return bad("must have the key usages keyCertSign and cRLSign and no other")
	case !names(cert, td):
		return bad("must have exactly one URI SAN, the ID of its trust domain")
	case !cert.NotBefore.Equal(a.NotBefore) || !cert.NotAfter.Equal(a.NotAfter):
		return bad("is valid for another time than the authority")
	case !bytes.Equal(cert.RawIssuer, cert.RawSubject):
		return bad("is not self-signed")
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return errors.Join(bad("is not signed by its own key"), err)
	}
	return nil
}

// names reports whether cert's one URI SAN is the ID of td, or of any trust
// domain if td is zero.
func names(cert *x509.Certificate, td spiffeid.TrustDomain) bool {
	if len(cert.URIs) != 1 {
		return false
	}
	id, err := idFromURI(cert.URIs[0])
	return err == nil && id.Path() == "" && (td.IsZero() || id.TrustDomain() == td)
}
