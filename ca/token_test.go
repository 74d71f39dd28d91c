package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
)

// signing is a key that tokens of the tests are signed with, in every way that
// a hostile signer could.
type signing struct {
	kid  string
	key  crypto.Signer
	hash crypto.Hash
	alg  string
	pss  bool
}

// token signs header and payload as they are, whatever they say.
func (s signing) token(t testing.TB, header, payload string) string {
	t.Helper()
	signed := b64(header) + "." + b64(payload)
	h := s.hash.New()
	h.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(s.sign(t, h.Sum(nil)))
}

func (s signing) sign(t testing.TB, digest []byte) []byte {
	t.Helper()
	switch key := s.key.(type) {
	case *ecdsa.PrivateKey:
		r, v, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			t.Fatal(err)
		}
		half := (key.Params().BitSize + 7) / 8
		out := make([]byte, 2*half)
		r.FillBytes(out[:half])
		v.FillBytes(out[half:])
		return out
	case *rsa.PrivateKey:
		var out []byte
		var err error
		if s.pss {
			out, err = rsa.SignPSS(rand.Reader, key, s.hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			out, err = rsa.SignPKCS1v15(rand.Reader, key, s.hash, digest)
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Fatalf("cannot sign with %T", s.key)
	return nil
}

// header is the one that this key's tokens have.
func (s signing) header() string { return fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"JWT"}`, s.alg, s.kid) }

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func es256(t testing.TB, kid string) signing {
	return signing{kid: kid, key: ecKey(t, elliptic.P256()), hash: crypto.SHA256, alg: "ES256"}
}

func rs256(t testing.TB, kid string) signing {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signing{kid: kid, key: key, hash: crypto.SHA256, alg: "RS256"}
}

// claims is a payload that is valid at began, with changes: a value for a
// claim as JSON, or "" to leave it out.
func claims(changes ...string) string {
	members := [][2]string{
		{"aud", `["bank"]`},
		{"exp", fmt.Sprint(began.Unix() + 300)},
		{"iat", fmt.Sprint(began.Unix())},
		{"sub", `"spiffe://acme.example/web"`},
	}
	for i := 0; i+1 < len(changes); i += 2 {
		at := len(members)
		for j, m := range members {
			if m[0] == changes[i] {
				at = j
			}
		}
		if at == len(members) {
			members = append(members, [2]string{changes[i], ""})
		}
		members[at][1] = changes[i+1]
	}
	var out []string
	for _, m := range members {
		if m[1] != "" {
			out = append(out, fmt.Sprintf("%q:%s", m[0], m[1]))
		}
	}
	return "{" + strings.Join(out, ",") + "}"
}

// bundles are the JWT keys of several domains.
type bundles map[spiffeid.TrustDomain][]signing

func (b bundles) keys(td spiffeid.TrustDomain) (iter.Seq2[string, crypto.PublicKey], bool) {
	set, held := b[td]
	return func(yield func(string, crypto.PublicKey) bool) {
		for _, s := range set {
			if !yield(s.kid, s.key.Public()) {
				return
			}
		}
	}, held
}

var _ ca.JWTKeys = bundles(nil).keys
