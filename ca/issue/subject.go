package issue

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/concord-id/concord/ca"
)

// organization is the subject that all certificates of a domain share. A
// subject is there because some TLS stacks and certificate mappers stumble
// over an empty one; it says nothing about whose the key is: that is the
// SPIFFE ID's part (X509-SVID §3). No country is claimed.
const organization = "Concord"

// maxCommonName is X.520's bound. A longer first DNS name is in the SANs only.
const maxCommonName = 64

var (
	emptyName      = []byte{0x30, 0x00}
	defaultSubject = mustMarshal(pkix.Name{Organization: []string{organization}})
)

// subjectOf is the DER name in a leaf's subject: the minted one if there is
// one, else the organization, and the first DNS name as common name.
func subjectOf(req ca.X509Request) ([]byte, error) {
	if req.Subject != nil {
		der, err := asn1.Marshal(req.Subject.ToRDNSequence())
		if err != nil {
			return nil, fmt.Errorf("encode the subject: %w", err)
		}
		if len(der) > ca.MaxSubjectBytes {
			return nil, fmt.Errorf("the subject has %d bytes, the most is %d", len(der), ca.MaxSubjectBytes)
		}
		return der, nil
	}
	if len(req.DNSNames) == 0 || len(req.DNSNames[0]) > maxCommonName {
		return defaultSubject, nil
	}
	return asn1.Marshal(pkix.Name{Organization: []string{organization}, CommonName: req.DNSNames[0]}.ToRDNSequence())
}

// authorityName is the subject of a signing certificate: the organization, and
// its key's ID as serial number, so that no two have one name and chains are
// found by name too.
func authorityName(keyID string) pkix.Name {
	return pkix.Name{Organization: []string{organization}, SerialNumber: keyID}
}

func mustMarshal(name pkix.Name) []byte {
	der, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		panic(err) // a constant
	}
	return der
}
