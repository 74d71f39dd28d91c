package fetch

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/concord-id/concord/federation"
)

// maxChain bounds the certificates that a peer may present.
const maxChain = 10

// verifySVID checks that chain, leaf first, is a valid X509-SVID of exactly
// want, signed by an authority of bundle, which is that of want's trust domain
// (SPIFFE Federation §5.2.2.4, X509-SVID §5). It returns the chain's first end.
func verifySVID(chain []*x509.Certificate, want spiffeid.ID, bundle *federation.Bundle, now time.Time) (time.Time, error) {
	switch {
	case len(chain) == 0:
		return time.Time{}, errors.New("the peer presented no certificate")
	case len(chain) > maxChain:
		return time.Time{}, fmt.Errorf("the peer presented %d certificates, the most is %d", len(chain), maxChain)
	case bundle.TrustDomain != want.TrustDomain():
		return time.Time{}, fmt.Errorf("the bundle of %s cannot authenticate %s", bundle.TrustDomain.Name(), want)
	case len(bundle.X509) == 0:
		return time.Time{}, fmt.Errorf("the bundle that we hold of %s has no X.509 authority: %s", bundle.TrustDomain.Name(), setByHand)
	}
	leaf := chain[0]
	if err := checkLeaf(leaf); err != nil {
		return time.Time{}, err
	}
	if err := checkID(leaf, want); err != nil {
		return time.Time{}, err
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range bundle.X509 {
		roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	verified, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return time.Time{}, chainError(err, fmt.Sprintf("no authority in the bundle that we hold of %s (sequence %d) signed it: %s",
			bundle.TrustDomain.Name(), bundle.Sequence, setByHand))
	}
	for _, chain := range verified {
		if permits(chain, want.TrustDomain()) {
			return firstEnd(chain), nil
		}
	}
	return time.Time{}, fmt.Errorf("the peer's certificate chain is not valid: a CA in it is constrained to other names than %s (X509-SVID §4.2)", want.TrustDomain().Name())
}

// permits reports whether every CA of a chain may vouch for names of td. The
// chain was verified already; but crypto/x509 takes a constraint for one host
// as one for its subdomains too, and a trust domain has none (RFC 5280
// §4.2.1.10, X509-SVID §4.2).
func permits(chain []*x509.Certificate, td spiffeid.TrustDomain) bool {
	within := func(constraint string) bool {
		if strings.HasPrefix(constraint, ".") {
			return strings.HasSuffix(td.Name(), constraint)
		}
		return td.Name() == constraint
	}
	for _, c := range chain[1:] {
		if len(c.PermittedURIDomains) > 0 && !slices.ContainsFunc(c.PermittedURIDomains, within) {
			return false
		}
	}
	return true
}

// checkLeaf refuses what may sign and what may not speak TLS (X509-SVID §3.2,
// §5.2): a signing certificate never authenticates.
func checkLeaf(leaf *x509.Certificate) error {
	switch {
	case leaf.IsCA:
		return errors.New("the peer presented a CA certificate as its own; an endpoint authenticates with a leaf (X509-SVID §5.2)")
	case leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return errors.New("the peer presented a certificate that may sign certificates or revocation lists; an endpoint authenticates with a leaf (X509-SVID §5.2)")
	}
	return nil
}

// checkID compares the leaf's one URI name with want, byte for byte. No URL
// parser stands between, because one that normalises would call different
// names equal.
func checkID(leaf *x509.Certificate, want spiffeid.ID) error {
	names, err := uriNames(leaf)
	if err != nil {
		return err
	}
	switch {
	case len(names) == 0:
		return errors.New("the peer presented a certificate without a SPIFFE ID: is this an https_web endpoint?")
	case len(names) > 1:
		return fmt.Errorf("the peer presented a certificate with %d URI names; an X509-SVID has exactly one (X509-SVID §2)", len(names))
	case want.Path() == "":
		return fmt.Errorf("the relationship expects %s, which is a trust domain's own ID and authenticates nobody: configure the endpoint's SPIFFE ID (X509-SVID §5.2)", want)
	case !strings.HasPrefix(names[0], "spiffe://"):
		return fmt.Errorf("the peer presented the URI name %s, which is not a SPIFFE ID", printable(names[0], 100))
	case names[0] != want.String():
		return fmt.Errorf("the peer presented %s, expected %s: check the relationship's endpoint SPIFFE ID", printable(names[0], 200), want)
	}
	return nil
}

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// uriNames returns the URI names of a certificate as its bytes have them.
func uriNames(c *x509.Certificate) ([]string, error) {
	var names []string
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			continue
		}
		general := cryptobyte.String(e.Value)
		if !general.ReadASN1(&general, cbasn1.SEQUENCE) {
			return nil, errors.New("the peer presented a certificate whose names cannot be read")
		}
		for !general.Empty() {
			var name cryptobyte.String
			var tag cbasn1.Tag
			if !general.ReadAnyASN1(&name, &tag) {
				return nil, errors.New("the peer presented a certificate whose names cannot be read")
			}
			if tag == cbasn1.Tag(6).ContextSpecific() {
				names = append(names, string(name))
			}
		}
	}
	return names, nil
}

// firstEnd returns when the first certificate of a chain ends.
func firstEnd(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}
