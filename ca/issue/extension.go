package issue

import (
	"crypto"
	"crypto/rsa"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidServerAuth       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	oidClientAuth       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
)

// The extensions that every leaf begins with, by the kind of its key:
// keyUsage (critical), extKeyUsage for servers and clients, basicConstraints
// (critical) without CA. An ECDSA key gets digitalSignature alone (RFC 8813
// §3), an RSA key also keyEncipherment (X509-SVID §4).
var (
	leafProfileECDSA = leafProfile(0b1000_0000, 7)
	leafProfileRSA   = leafProfile(0b1010_0000, 5)
)

func leafProfileFor(pub crypto.PublicKey) []byte {
	if _, ok := pub.(*rsa.PublicKey); ok {
		return leafProfileRSA
	}
	return leafProfileECDSA
}

func leafProfile(usage, unusedBits byte) []byte {
	var b cryptobyte.Builder
	addExtension(&b, oidKeyUsage, true, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.BIT_STRING, func(b *cryptobyte.Builder) { b.AddBytes([]byte{unusedBits, usage}) })
	})
	addExtension(&b, oidExtKeyUsage, false, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidServerAuth)
			b.AddASN1ObjectIdentifier(oidClientAuth)
		})
	})
	addExtension(&b, oidBasicConstraints, true, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(*cryptobyte.Builder) {}) // cA=false is its default
	})
	return b.BytesOrPanic()
}

func authorityKeyExtension(id []byte) []byte {
	var b cryptobyte.Builder
	addExtension(&b, oidAuthorityKeyID, false, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(id) })
		})
	})
	return b.BytesOrPanic()
}

func addSubjectKeyID(b *cryptobyte.Builder, id []byte) {
	addExtension(b, oidSubjectKeyID, false, func(b *cryptobyte.Builder) { b.AddASN1OctetString(id) })
}

// addSANs adds the DNS names and the one URI; critical if the subject is empty
// (X509-SVID §3.1, RFC 5280 §4.2.1.6).
func addSANs(b *cryptobyte.Builder, dnsNames []string, uri string, critical bool) {
	addExtension(b, oidSubjectAltName, critical, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, name := range dnsNames {
				b.AddASN1(cryptobyte_asn1.Tag(2).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
			}
			b.AddASN1(cryptobyte_asn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(uri)) })
		})
	})
}

func addExtension(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, critical bool, value cryptobyte.BuilderContinuation) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if critical { // false is the default and so never encoded
			b.AddASN1Boolean(true)
		}
		b.AddASN1(cryptobyte_asn1.OCTET_STRING, value)
	})
}
