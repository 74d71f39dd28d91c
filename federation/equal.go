package federation

import (
	"crypto/x509"
	"slices"
)

// Equal reports whether b and o say the same of the same trust domain: their
// authorities, sequence and hint. The order of authorities means nothing.
func (b *Bundle) Equal(o *Bundle) bool {
	if b == nil || o == nil {
		return b == o
	}
	return b.Sequenced == o.Sequenced && b.Sequence == o.Sequence &&
		b.Hinted == o.Hinted && b.Hint == o.Hint && b.SameAuthorities(o)
}

// SameAuthorities reports whether b and o trust the same for the same trust domain.
func (b *Bundle) SameAuthorities(o *Bundle) bool {
	if b == nil || o == nil {
		return b == o
	}
	b, o = b.Canonical(), o.Canonical()
	return b.TrustDomain == o.TrustDomain &&
		slices.EqualFunc(b.X509, o.X509, (*x509.Certificate).Equal) &&
		slices.EqualFunc(b.JWT, o.JWT, func(x, y JWTAuthority) bool {
			return x.ID == y.ID && sameKey(x.Key, y.Key)
		})
}

// Empty reports whether b trusts nothing: its domain has revoked everything
// (Trust Domain and Bundle §4.1.3).
func (b *Bundle) Empty() bool { return len(b.X509) == 0 && len(b.JWT) == 0 }
