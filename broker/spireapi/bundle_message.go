package spireapi

import (
	"bytes"
	"crypto/x509"
	"errors"
	"time"

	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// bundleFields are the fields that a mask names; no mask names all.
func bundleFields(m *types.BundleMask) registrar.BundleFields {
	if m == nil {
		return registrar.AllBundleFields
	}
	var fields registrar.BundleFields
	if m.X509Authorities {
		fields |= registrar.BundleX509
	}
	if m.JwtAuthorities {
		fields |= registrar.BundleJWT
	}
	if m.SequenceNumber {
		fields |= registrar.BundleSequence
	}
	if m.RefreshHint {
		fields |= registrar.BundleHint
	}
	return fields
}

// readBundle reads the given fields of b, and its trust domain. WIT authorities
// are not read: Concord has no use for them yet, as a bundle document's keys of
// unknown use.
func readBundle(b *types.Bundle, fields registrar.BundleFields) (*federation.Bundle, error) {
	td, err := readDomain("trust_domain", b.GetTrustDomain())
	if err != nil {
		return nil, err
	}
	out := &federation.Bundle{TrustDomain: td}
	if fields&registrar.BundleX509 != 0 {
		if out.X509, err = readCertificates(b.GetX509Authorities()); err != nil {
			return nil, err
		}
	}
	if fields&registrar.BundleJWT != 0 {
		if out.JWT, err = readJWTKeys(b.GetJwtAuthorities()); err != nil {
			return nil, err
		}
	}
	if hint := b.GetRefreshHint(); fields&registrar.BundleHint != 0 && hint != 0 {
		if hint < 0 || hint > int64(maxHint/time.Second) {
			return nil, broker.Refuse(broker.InvalidArgument, "refresh_hint %d is not between 0 and %d seconds", hint, int64(maxHint/time.Second))
		}
		out.Hint, out.Hinted = time.Duration(hint)*time.Second, true
	}
	out.Sequence, out.Sequenced = b.GetSequenceNumber(), b.GetSequenceNumber() != 0
	return out, nil
}

// maxHint is beyond what any poller follows, and far from overflowing.
const maxHint = 100 * 365 * 24 * time.Hour

func readCertificates(in []*types.X509Certificate) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for i, c := range in {
		certificates, err := x509.ParseCertificates(c.GetAsn1())
		if err == nil && len(certificates) == 0 {
			err = errors.New("it is empty")
		}
		if err != nil {
			return nil, broker.Refuse(broker.InvalidArgument, "X.509 authority number %d is no certificate: %v", i+1, err)
		}
		out = append(out, certificates...)
	}
	return out, nil
}

func readJWTKeys(in []*types.JWTKey) ([]federation.JWTAuthority, error) {
	var out []federation.JWTAuthority
	for i, k := range in {
		if k.GetKeyId() == "" {
			return nil, broker.Refuse(broker.InvalidArgument, "JWT authority number %d has no key ID", i+1)
		}
		key, err := x509.ParsePKIXPublicKey(k.GetPublicKey())
		if err != nil {
			return nil, broker.Refuse(broker.InvalidArgument, "JWT authority %.80q is no public key in PKIX form: %v", k.GetKeyId(), err)
		}
		out = append(out, federation.JWTAuthority{ID: k.GetKeyId(), Key: key})
	}
	return out, nil
}

func readAppendBundle(req *bundlev1.AppendBundleRequest) (out registrar.AppendBundle, err error) {
	if out.X509, err = readCertificates(req.X509Authorities); err != nil {
		return out, err
	}
	keys, err := readJWTKeys(req.JwtAuthorities)
	if err != nil {
		return out, err
	}
	for i, k := range keys {
		out.JWT = append(out.JWT, registrar.ForeignJWTKey{ID: k.ID, Key: k.Key, NotAfter: readTime(req.JwtAuthorities[i].ExpiresAt)})
	}
	return out, nil
}

// writeBundle writes what mask names of a bundle, and its trust domain.
func writeBundle(p *federation.Published, mask *types.BundleMask) *types.Bundle {
	out := &types.Bundle{
		TrustDomain:    p.Bundle.TrustDomain.Name(),
		RefreshHint:    int64(p.Bundle.Hint / time.Second),
		SequenceNumber: p.Bundle.Sequence,
	}
	for _, c := range p.Bundle.X509 {
		out.X509Authorities = append(out.X509Authorities, &types.X509Certificate{Asn1: c.Raw})
	}
	for _, k := range p.Bundle.JWT {
		// A key that was published was encoded before; it cannot fail now.
		der, _ := x509.MarshalPKIXPublicKey(k.Key)
		out.JwtAuthorities = append(out.JwtAuthorities, &types.JWTKey{KeyId: k.ID, PublicKey: der})
	}
	applyMask(out, mask, "trust_domain")
	return out
}

// writeOwnBundle also says of each key when it ends and whether it is tainted.
func writeOwnBundle(p *federation.Published, authorities []ca.Authority, mask *types.BundleMask) *types.Bundle {
	out := writeBundle(p, nil)
	for _, c := range out.X509Authorities {
		for _, a := range authorities {
			if a.Use == ca.X509 && bytes.Equal(a.Public, c.Asn1) {
				c.Tainted = a.Tainted
			}
		}
	}
	for _, k := range out.JwtAuthorities {
		for _, a := range authorities {
			if a.Use == ca.JWT && a.ID == k.KeyId {
				k.Tainted, k.ExpiresAt = a.Tainted, writeTime(a.NotAfter)
			}
		}
	}
	applyMask(out, mask, "trust_domain")
	return out
}
