package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// MaxCSRBytes is the longest certificate signing request that is looked at.
const MaxCSRBytes = 64 << 10

// CheckCSR reads a DER certificate signing request and checks that its sender
// has the private key. Size, curve and key length are bounded before any
// cryptography (RELIABILITY §1 row 14). What the request asks for beyond its
// key is not checked here: an SVID's fields come from its entry.
func CheckCSR(der []byte) (*x509.CertificateRequest, error) {
	if len(der) == 0 {
		return nil, errors.New("there is no certificate signing request")
	}
	if len(der) > MaxCSRBytes {
		return nil, fmt.Errorf("the certificate signing request has %d bytes, the most is %d", len(der), MaxCSRBytes)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate signing request (DER, PKCS #10): %w", err)
	}
	if err := CheckPublicKey(csr.PublicKey); err != nil {
		return nil, fmt.Errorf("in the certificate signing request %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the certificate signing request is not signed by its own key: %w", err)
	}
	return csr, nil
}

// idFromURI is the SPIFFE ID that a certificate's URI SAN holds, read from its
// text: a URL that only becomes an ID by normalisation is none.
func idFromURI(uri *url.URL) (spiffeid.ID, error) {
	return spiffeid.FromString(uri.String())
}
