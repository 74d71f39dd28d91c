package federation

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// ParsePEM reads a bundle of X.509 authorities for td from PEM certificates,
// for operators who have no document (SPIFFE Federation §5.2.2.2). The bundle has
// no sequence and no hint. Unlike Parse it ignores nothing: a person gave the file and
// can mend it.
func ParsePEM(td spiffeid.TrustDomain, text []byte) (*Bundle, error) {
	if td.IsZero() {
		return nil, fmt.Errorf("no trust domain was given for the PEM file")
	}
	certs, err := parseCertificates(text, MaxBundleBytes)
	if err != nil {
		return nil, err
	}
	b := &Bundle{TrustDomain: td}
	for i, cert := range certs {
		if err := CheckX509Authority(cert); err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", i+1, err)
		}
		if !slices.ContainsFunc(b.X509, cert.Equal) {
			b.X509 = append(b.X509, cert)
		}
	}
	if len(b.X509) > MaxAuthorities {
		return nil, fmt.Errorf("%d certificates, the most that a bundle may have is %d", len(b.X509), MaxAuthorities)
	}
	b.sort()
	return b, nil
}

// PEM returns the X.509 authorities in canonical order. It says nothing of JWT
// authorities and nothing of the trust domain, so it is for people's eyes and for
// one domain a file.
func (b *Bundle) PEM() []byte {
	var out bytes.Buffer
	for _, cert := range b.Canonical().X509 {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}) // a Buffer never fails
	}
	return out.Bytes()
}

// ParseRoots reads the certificates that may vouch for an https_web endpoint.
func ParseRoots(text []byte) ([]*x509.Certificate, error) {
	return parseCertificates(text, MaxRootsBytes)
}

// parseCertificates reads at least one certificate. A damaged block is an
// error, not skipped; text between blocks is a comment.
func parseCertificates(text []byte, limit int) ([]*x509.Certificate, error) {
	if len(text) > limit {
		return nil, fmt.Errorf("%d bytes of PEM, the most is %d", len(text), limit)
	}
	var certs []*x509.Certificate
	begun := bytes.Count(text, []byte("-----BEGIN "))
	for n := 1; ; n++ {
		block, rest := pem.Decode(text)
		if block == nil {
			if n <= begun {
				return nil, fmt.Errorf("one of %d PEM blocks is damaged: copy the file again", begun)
			}
			break
		}
		text = rest
		if block.Type != "CERTIFICATE" {
			return nil, notACertificate(n, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", n, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("no PEM block: write certificates between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----")
	}
	return certs, nil
}

func notACertificate(n int, kind string) error {
	if strings.Contains(kind, "PRIVATE KEY") {
		return fmt.Errorf("PEM block %d is a private key: keep it where it belongs and give certificates only", n)
	}
	return fmt.Errorf("PEM block %d is %.40q and must be CERTIFICATE", n, kind)
}
