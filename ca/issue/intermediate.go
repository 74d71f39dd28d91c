package issue

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Intermediate is a node's own signing certificate and its key, with the parts
// of a leaf that are the same for all its leaves already encoded. It is a
// value: whoever has it never changes it.
type Intermediate struct {
	cert        *x509.Certificate
	td          spiffeid.TrustDomain
	authorityID string
	signer      crypto.Signer
	alg         algorithm

	issuer       []byte // Name of the issuer, as DER
	authorityKey []byte // the authority key identifier extension, as DER
}

// NewIntermediate pairs a DER certificate, signed by the root authority with
// ID authorityID, with its private key. That the chain leads to a published
// root is Keeper's to check.
func NewIntermediate(der []byte, signer crypto.Signer, authorityID string) (*Intermediate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the intermediate: %w", err)
	}
	pub, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !pub.Equal(signer.Public()):
		return nil, fmt.Errorf("the intermediate is for another key than this node's")
	case !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fmt.Errorf("the intermediate is not a CA certificate and cannot sign")
	case len(cert.SubjectKeyId) == 0:
		return nil, fmt.Errorf("the intermediate has no subject key identifier")
	case len(cert.URIs) != 1:
		return nil, fmt.Errorf("the intermediate has %d URI SANs and must have exactly its trust domain's", len(cert.URIs))
	}
	id, err := spiffeid.FromString(cert.URIs[0].String())
	if err != nil || id.Path() != "" {
		return nil, fmt.Errorf("the intermediate's URI SAN %.80q is not the ID of a trust domain", cert.URIs[0])
	}
	alg, err := algorithmOf(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("the intermediate's key: %w", err)
	}
	return &Intermediate{
		cert: cert, td: id.TrustDomain(), authorityID: authorityID, signer: signer, alg: alg,
		issuer: cert.RawSubject, authorityKey: authorityKeyExtension(cert.SubjectKeyId),
	}, nil
}

// Certificate is the intermediate's certificate.
func (in *Intermediate) Certificate() *x509.Certificate { return in.cert }

// AuthorityID is the ID of the root authority that signed it.
func (in *Intermediate) AuthorityID() string { return in.authorityID }

// NotBefore is when it begins.
func (in *Intermediate) NotBefore() time.Time { return in.cert.NotBefore }

// NotAfter is when it ends, and so the latest end of what it signs.
func (in *Intermediate) NotAfter() time.Time { return in.cert.NotAfter }
