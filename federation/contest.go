package federation

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Holder says which trust domain has the key in its bundle, false if none has.
type Holder func(KeyHash) (spiffeid.TrustDomain, bool)

// Contest is an authority that two trust domains publish. A key serves one
// domain (Trust Domain and Bundle §6.2), and the first one keeps it.
type Contest struct {
	Key       KeyHash
	Authority string // in words
	Holder    spiffeid.TrustDomain
}

// Contested returns the authorities that fetched adds to current (nil: none)
// and that another trust domain than its own has. One that current has is not
// contested again, or a removal beside it would be delayed.
func Contested(current, fetched *Bundle, holder Holder) []Contest {
	if holder == nil {
		return nil
	}
	if current == nil {
		current = &Bundle{}
	}
	var out []Contest
	check := func(key crypto.PublicKey, authority string) {
		hash, err := HashKey(key)
		if err != nil {
			return // such a key is in no bundle
		}
		if td, ok := holder(hash); ok && td != fetched.TrustDomain {
			out = append(out, Contest{Key: hash, Authority: authority, Holder: td})
		}
	}
	for _, cert := range minusX509(fetched, current) {
		check(cert.PublicKey, "the X.509 authority "+subject(cert))
	}
	for _, a := range minusJWT(fetched, current) {
		check(a.Key, fmt.Sprintf("the JWT authority %.80q", a.ID))
	}
	return out
}

// without returns b without the contested keys, in canonical order.
func without(b *Bundle, held []Contest) *Bundle {
	c := b.Canonical()
	drop := func(key crypto.PublicKey) bool {
		hash, err := HashKey(key)
		return err == nil && slices.ContainsFunc(held, func(h Contest) bool { return h.Key == hash })
	}
	if len(held) > 0 {
		c.X509 = slices.DeleteFunc(c.X509, func(x *x509.Certificate) bool { return drop(x.PublicKey) })
		c.JWT = slices.DeleteFunc(c.JWT, func(a JWTAuthority) bool { return drop(a.Key) })
	}
	return c
}

// minusX509 returns the certificates of b that o has not.
func minusX509(b, o *Bundle) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(b.X509), func(cert *x509.Certificate) bool { return holdsX509(o, cert) })
}

func holdsX509(b *Bundle, cert *x509.Certificate) bool {
	return slices.ContainsFunc(b.X509, cert.Equal)
}

// minusJWT returns the keys of b that o has not, or not under that ID.
func minusJWT(b, o *Bundle) []JWTAuthority {
	return slices.DeleteFunc(slices.Clone(b.JWT), func(a JWTAuthority) bool {
		return slices.ContainsFunc(o.JWT, func(other JWTAuthority) bool {
			return other.ID == a.ID && sameKey(other.Key, a.Key)
		})
	})
}

// lost reports whether nothing of what current trusted is left in next,
// although next trusts something.
func lost(current, next *Bundle) bool {
	return !current.Empty() && !next.Empty() &&
		len(minusX509(current, next)) == len(current.X509) && len(minusJWT(current, next)) == len(current.JWT)
}

// foreignName returns the SPIFFE ID in cert if it is not that of td. It is
// advice: the relationship says which domain a certificate is for.
func foreignName(cert *x509.Certificate, td spiffeid.TrustDomain) string {
	for _, u := range cert.URIs {
		if u.Scheme == "spiffe" && u.Host != td.Name() {
			return u.String()
		}
	}
	return ""
}

// ended alarms about a bundle whose X.509 authorities are all past their end,
// whoever keeps serving it.
func ended(b *Bundle, now time.Time) []string {
	var last time.Time
	for _, cert := range b.X509 {
		if now.Before(cert.NotAfter) {
			return nil
		}
		if cert.NotAfter.After(last) {
			last = cert.NotAfter
		}
	}
	if len(b.X509) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("every X.509 authority of %s has ended, the last at %s: it has to publish a new one", b.TrustDomain.Name(), last.UTC().Format(time.RFC3339))}
}
