package issue

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/concord-id/concord/ca"
)

// X509SVID signs what req asks for (X509-SVID §2 to §4). It begins Backdate
// before now, never before its issuer, and ends after req.TTL or with its
// issuer. The error is ErrNotReady while there is nothing to sign with;
// otherwise it says what is wrong with the request.
func (i *Issuer) X509SVID(req ca.X509Request, now time.Time) (ca.X509SVID, error) {
	in, err := i.intermediate(now)
	if err != nil {
		return ca.X509SVID{}, err
	}
	if err := req.Validate(); err != nil {
		return ca.X509SVID{}, err
	}
	if !req.ID.MemberOf(in.td) {
		return ca.X509SVID{}, fmt.Errorf("%s is not in the trust domain %s, and no other is issued for here (SPIFFE-ID §4.1.2)", req.ID, in.td)
	}
	l := leaf{
		Intermediate: in,
		notBefore:    latest(now.Add(-Backdate), in.NotBefore()).UTC().Truncate(time.Second),
		notAfter:     earliest(now.Add(req.TTL), in.NotAfter()).UTC().Truncate(time.Second),
	}
	der, err := l.sign(req)
	if err != nil {
		return ca.X509SVID{}, fmt.Errorf("sign an X.509-SVID for %s: %w", req.ID, err)
	}
	return ca.X509SVID{
		ID:           req.ID,
		Certificates: [][]byte{der, in.cert.Raw},
		AuthorityID:  in.authorityID,
		NotBefore:    l.notBefore,
		NotAfter:     l.notAfter,
	}, nil
}

// leaf is a certificate about to be signed.
type leaf struct {
	*Intermediate
	notBefore, notAfter time.Time
}

// sign assembles the certificate itself: x509.CreateCertificate verifies what
// it has signed, which costs more than the signature. The to-be-signed part
// has the bytes that CreateCertificate would give it.
func (l leaf) sign(req ca.X509Request) ([]byte, error) {
	tbs, err := l.toBeSigned(req)
	if err != nil {
		return nil, err
	}
	signature, err := l.alg.sign(l.signer, tbs)
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+len(signature)+64))
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(l.alg.der)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}

func (l leaf) toBeSigned(req ca.X509Request) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(req.PublicKey)
	if err != nil {
		return nil, err
	}
	keyID, err := ca.SubjectKeyID(req.PublicKey)
	if err != nil {
		return nil, err
	}
	subject, err := subjectOf(req)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	uri := req.ID.String()
	b := cryptobyte.NewBuilder(make([]byte, 0, 1024+len(uri)))
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) })
		b.AddASN1BigInt(serial)
		b.AddBytes(l.alg.der)
		b.AddBytes(l.issuer)
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, l.notBefore)
			addTime(b, l.notAfter)
		})
		b.AddBytes(subject)
		b.AddBytes(spki)
		b.AddASN1(cryptobyte_asn1.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(leafProfileFor(req.PublicKey))
				addSubjectKeyID(b, keyID)
				b.AddBytes(l.authorityKey)
				addSANs(b, req.DNSNames, uri, len(subject) == len(emptyName))
			})
		})
	})
	return b.Bytes()
}

// addTime writes UTCTime up to 2049 and GeneralizedTime after (RFC 5280 §4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	if year := t.Year(); year >= 1950 && year < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// newSerial is 127 random bits: positive, and 16 bytes long (RFC 5280 §4.1.2.2).
func newSerial() (*big.Int, error) {
	var bytes [16]byte
	if _, err := rand.Read(bytes[:]); err != nil {
		return nil, err
	}
	bytes[0] &= 0b0111_1111
	return new(big.Int).SetBytes(bytes[:]), nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
