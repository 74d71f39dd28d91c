package federation

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// sort puts the authorities into canonical order: certificates by the
// beginning of their life, then by their bytes; keys by ID.
func (b *Bundle) sort() {
	slices.SortFunc(b.X509, compareX509)
	slices.SortFunc(b.JWT, compareJWT)
}

func compareX509(x, y *x509.Certificate) int {
	return cmp.Or(x.NotBefore.Compare(y.NotBefore), bytes.Compare(x.Raw, y.Raw))
}

func compareJWT(x, y JWTAuthority) int { return cmp.Compare(x.ID, y.ID) }

// Canonical returns a copy of b with its authorities in canonical order and
// each certificate once. Order means nothing in a bundle, so two bundles that
// say the same have the same canonical form.
func (b *Bundle) Canonical() *Bundle {
	c := *b
	c.X509, c.JWT = slices.Clone(b.X509), slices.Clone(b.JWT)
	c.sort()
	c.X509 = slices.CompactFunc(c.X509, (*x509.Certificate).Equal)
	return &c
}

// Marshal returns the canonical document: equal content gives equal bytes, in
// whatever order it was put together. It has the members that the
// specifications define and no others (TB-13). It fails for a key that a
// bundle cannot hold and for a key ID that is missing or used twice.
func (b *Bundle) Marshal() ([]byte, error) {
	c := b.Canonical()
	out, err := c.appendKeys([]byte(`{"keys":[`))
	if err != nil {
		return nil, fmt.Errorf("write bundle of %s: %w", b.TrustDomain.Name(), err)
	}
	out = append(out, ']')
	if c.Sequenced {
		out = append(out, `,"spiffe_sequence":`...)
		out = strconv.AppendUint(out, c.Sequence, 10)
	}
	if c.Hinted {
		out = append(out, `,"spiffe_refresh_hint":`...)
		out = strconv.AppendInt(out, int64(max(0, c.Hint)/time.Second), 10)
	}
	return append(out, '}'), nil
}

func (b *Bundle) appendKeys(out []byte) ([]byte, error) {
	start := len(out)
	for _, cert := range b.X509 {
		key, err := encode(cert.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("the certificate of %s: %w", subject(cert), err)
		}
		out = key.open(comma(out, start), useX509, "")
		out = append(out, `,"x5c":["`...)
		out = base64.StdEncoding.AppendEncode(out, cert.Raw)
		out = append(out, `"]}`...)
	}
	return b.appendJWT(out, start, useJWT)
}

// jwks returns the JWT authorities as a JWK Set that any JWT library reads: no
// use, for its registered values are sig and enc (Workload API §6.2.2).
func (b *Bundle) jwks() ([]byte, error) {
	out := []byte(`{"keys":[`)
	out, err := b.appendJWT(out, len(out), "")
	if err != nil {
		return nil, fmt.Errorf("write JWK Set of %s: %w", b.TrustDomain.Name(), err)
	}
	return append(out, `]}`...), nil
}

// appendJWT appends the JWT authorities to the elements that begin at start.
func (b *Bundle) appendJWT(out []byte, start int, use string) ([]byte, error) {
	for i, a := range b.JWT {
		if err := CheckJWTAuthority(a); err != nil {
			return nil, err
		}
		if i > 0 && b.JWT[i-1].ID == a.ID {
			return nil, fmt.Errorf("two JWT authorities have the ID %.80q", a.ID)
		}
		key, err := encode(a.Key)
		if err != nil {
			return nil, fmt.Errorf("JWT authority %.80q: %w", a.ID, err)
		}
		out = append(key.open(comma(out, start), use, a.ID), '}')
	}
	return out, nil
}

func comma(out []byte, start int) []byte {
	if len(out) > start {
		return append(out, ',')
	}
	return out
}

// open appends a JWK without its closing brace. Empty members are left out.
func (j jwk) open(out []byte, use, kid string) []byte {
	out = append(append(append(out, `{"kty":"`...), j.kty...), '"')
	for _, m := range []struct{ name, value string }{
		{"use", use}, {"kid", kid}, {"crv", j.crv}, {"x", j.x}, {"y", j.y}, {"n", j.n}, {"e", j.e},
	} {
		if m.value == "" {
			continue
		}
		text, _ := json.Marshal(m.value) // a string always has JSON
		out = append(append(append(append(out, `,"`...), m.name...), `":`...), text...)
	}
	return out
}
