package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/keys"
)

var binding = keys.Binding{Cluster: "c1", TrustDomain: spiffeid.RequireTrustDomainFromString("acme.example"), Use: ca.X509}

// bound is binding for the authority that signer's key names.
func bound(t testing.TB, signer crypto.Signer) keys.Binding {
	t.Helper()
	b := binding
	var err error
	if b.Authority, err = ca.KeyID(signer.Public()); err != nil {
		t.Fatal(err)
	}
	return b
}

func kekPath(t testing.TB) string { return filepath.Join(t.TempDir(), "private", "kek") }

func sealedManager(t testing.TB, path string) *keys.Sealed {
	t.Helper()
	m, err := keys.NewSealed(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func generate(t testing.TB, m interface {
	Generate(keys.Binding, ca.KeyType) (crypto.Signer, []byte, error)
}, kt ca.KeyType) (crypto.Signer, []byte) {
	t.Helper()
	signer, sealed, err := m.Generate(binding, kt)
	if err != nil {
		t.Fatal(err)
	}
	return signer, sealed
}

func TestASealedKeyOpensAfterARestart(t *testing.T) {
	path := kekPath(t)
	first := sealedManager(t, path)
	for _, kt := range ca.KeyTypes() {
		t.Run(string(kt), func(t *testing.T) {
			signer, sealed := generate(t, first, kt)
			got, err := sealedManager(t, path).Open(bound(t, signer), sealed)
			if err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256([]byte("x"))
			if _, err := got.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				t.Error(err)
			}
			if kind, err := ca.KeyTypeOf(got.Public()); kind != kt || err != nil {
				t.Errorf("it is %s, %v", kind, err)
			}
			if !got.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(signer.Public()) {
				t.Error("another key came out than went in")
			}
		})
	}
	if _, _, err := first.Generate(binding, "ed25519"); err == nil || !strings.Contains(err.Error(), "JWT-SVID") {
		t.Errorf("ed25519: %v, want an error that says why", err)
	}
	if _, _, err := first.Generate(keys.Binding{Authority: "a"}, ca.P256); err == nil {
		t.Error("a key was made for an authority that another key names")
	}
}

func TestASealedKeyOpensForNothingElse(t *testing.T) {
	m := sealedManager(t, kekPath(t))
	signer, sealed := generate(t, m, ca.P256)
	for name, change := range map[string]func(*keys.Binding){
		"another cluster":      func(b *keys.Binding) { b.Cluster = "c2" },
		"another trust domain": func(b *keys.Binding) { b.TrustDomain = spiffeid.RequireTrustDomainFromString("bank.example") },
		"another use":          func(b *keys.Binding) { b.Use = ca.JWT },
		"another authority":    func(b *keys.Binding) { b.Authority = strings.Repeat("0", 40) },
		"no authority":         func(b *keys.Binding) { b.Authority = "" },
		"parts shifted": func(b *keys.Binding) {
			b.Cluster = "c1acme"
			b.TrustDomain = spiffeid.RequireTrustDomainFromString(".example")
		},
	} {
		b := bound(t, signer)
		change(&b)
		if _, err := m.Open(b, sealed); !errors.Is(err, keys.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

func TestEveryFlippedBitOfACiphertextIsLoud(t *testing.T) {
	m := sealedManager(t, kekPath(t))
	signer, sealed := generate(t, m, ca.P256)
	b := bound(t, signer)
	for i := range sealed {
		for bit := range 8 {
			damaged := bytes.Clone(sealed)
			damaged[i] ^= 1 << bit
			if _, err := m.Open(b, damaged); !errors.Is(err, keys.ErrCorrupt) || errors.Is(err, keys.ErrWrongKEK) {
				t.Fatalf("byte %d, bit %d: %v, want ErrCorrupt", i, bit, err)
			}
		}
	}
	for _, damaged := range [][]byte{nil, {}, sealed[:len(sealed)-1], append(bytes.Clone(sealed), 0), make([]byte, 1<<20)} {
		if _, err := m.Open(b, damaged); !errors.Is(err, keys.ErrCorrupt) || !strings.Contains(err.Error(), b.Authority) {
			t.Errorf("%d bytes: %v, want ErrCorrupt that names the authority", len(damaged), err)
		}
	}
}

func TestEveryFlippedBitOfTheKEKIsLoud(t *testing.T) {
	path := kekPath(t)
	signer, sealed := generate(t, sealedManager(t, path), ca.P256)
	kek, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range kek {
		damaged := bytes.Clone(kek)
		damaged[i] ^= 1 << (i % 8)
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := sealedManager(t, path).Open(bound(t, signer), sealed)
		if !errors.Is(err, keys.ErrWrongKEK) || errors.Is(err, keys.ErrCorrupt) || !strings.Contains(err.Error(), path) {
			t.Fatalf("byte %d: %v, want ErrWrongKEK that names the file", i, err)
		}
	}
}

// RELIABILITY §1 rows 18 and 20.
func TestNoKeyInClearRests(t *testing.T) {
	path := kekPath(t)
	m := sealedManager(t, path)
	signer, sealed := generate(t, m, ca.P256)
	scalar, err := signer.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	kek, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, wrong := sealedManager(t, kekPath(t)).Open(bound(t, signer), sealed)
	for name, text := range map[string]string{"ciphertext": string(sealed), "source": m.Source(), "ID": m.ID(), "error": wrong.Error()} {
		if strings.Contains(text, string(scalar)) || strings.Contains(text, string(kek)) || strings.Contains(text, base64.StdEncoding.EncodeToString(kek)) {
			t.Errorf("a secret is in the %s", name)
		}
	}
	_, again := generate(t, m, ca.P256)
	if bytes.Equal(sealed, again) || bytes.Equal(sealed[12:24], again[12:24]) {
		t.Error("a nonce was used twice")
	}
}

func TestAKEKFromTheEnvironment(t *testing.T) {
	kek := make([]byte, keys.KEKBytes)
	rand.Read(kek)
	var first *keys.Sealed
	for name, text := range map[string]string{
		"standard":         base64.StdEncoding.EncodeToString(kek),
		"without padding":  base64.RawStdEncoding.EncodeToString(kek),
		"URL alphabet":     base64.URLEncoding.EncodeToString(kek),
		"with a line end":  base64.StdEncoding.EncodeToString(kek) + "\n",
		"URL, not padding": base64.RawURLEncoding.EncodeToString(kek),
	} {
		m, err := keys.NewSealedFromText(text, "CONCORD_KEK")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if first == nil {
			first = m
		}
		if m.ID() != first.ID() || m.Made() || m.Source() != "CONCORD_KEK" {
			t.Errorf("%s: ID %s, source %s", name, m.ID(), m.Source())
		}
	}
	secret := base64.StdEncoding.EncodeToString(kek[:31])
	for _, text := range []string{"", "?", secret, base64.StdEncoding.EncodeToString(append(kek, 0))} {
		_, err := keys.NewSealedFromText(text, "CONCORD_KEK")
		if err == nil || !strings.Contains(err.Error(), "CONCORD_KEK") || !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("%d characters: %v, want an error that says what to do", len(text), err)
		}
		if text == secret && strings.Contains(err.Error(), secret) {
			t.Error("the error holds what was given")
		}
	}
}

func FuzzOpenSealed(f *testing.F) {
	m := sealedManager(f, kekPath(f))
	signer, sealed := generate(f, m, ca.P256)
	f.Add(sealed)
	f.Add([]byte("CSK1"))
	f.Add([]byte("concord-key-in-memory:0123"))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := m.Open(bound(t, signer), data)
		switch {
		case err == nil && (!bytes.Equal(data, sealed) || key == nil):
			t.Error("something else than what was sealed was opened")
		case err != nil && !errors.Is(err, keys.ErrCorrupt) && !errors.Is(err, keys.ErrWrongKEK) && !errors.Is(err, keys.ErrKeyLost):
			t.Errorf("an error without a name: %v", err)
		}
	})
}
