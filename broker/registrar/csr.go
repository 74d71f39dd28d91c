package registrar

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/concord-id/concord/workload"
)

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// uriTag is uniformResourceIdentifier in GeneralName (RFC 5280 §4.2.1.6).
var uriTag = cbasn1.Tag(6).ContextSpecific()

// idOf reads the SPIFFE ID that a CSR asks for from the very bytes of its URI
// SAN: csr.URIs has been through a URL parser, which lets an ID pass that only
// becomes one when it is normalised.
func idOf(csr *x509.CertificateRequest) (spiffeid.ID, error) {
	var uris []string
	for _, ext := range csr.Extensions {
		if !ext.Id.Equal(subjectAltName) {
			continue
		}
		var names cryptobyte.String
		value := cryptobyte.String(ext.Value)
		if !value.ReadASN1(&names, cbasn1.SEQUENCE) || !value.Empty() {
			return spiffeid.ID{}, fmt.Errorf("CSR's subject alternative names are malformed")
		}
		for !names.Empty() {
			var name cryptobyte.String
			var tag cbasn1.Tag
			if !names.ReadAnyASN1(&name, &tag) {
				return spiffeid.ID{}, fmt.Errorf("CSR's subject alternative names are malformed")
			}
			if tag == uriTag {
				uris = append(uris, string(name))
			}
		}
	}
	if len(uris) != 1 {
		return spiffeid.ID{}, fmt.Errorf("CSR has %d URI SANs: it needs exactly one, the SPIFFE ID (X509-SVID §2)", len(uris))
	}
	id, err := workload.ParseID(uris[0])
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("CSR's URI SAN: %w", err)
	}
	return id, nil
}
