package keys

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/concord-id/concord/ca"
)

// KEKBytes is the length of a key-encryption key: AES-256.
const KEKBytes = 32

// Sealed is a key manager that encrypts each private key with one
// key-encryption key (AES-256-GCM). The associated data binds the cluster, the
// trust domain, the use, the authority and the key-encryption key, so that no
// sealed key can stand for another.
type Sealed struct {
	aead   cipher.AEAD
	check  [checkBytes]byte
	source string // where the KEK is, in words for errors
	file   bool
	made   bool
}

// NewSealed returns a key manager with the KEK in the file at path, which is
// made if it is not there: 32 random bytes, mode 0600, complete on disk or
// absent. A file of another length, or one that others may read, is an error.
func NewSealed(path string) (*Sealed, error) {
	kek, made, err := loadKEK(path)
	if err != nil {
		return nil, err
	}
	defer clear(kek)
	s, err := newSealed(kek, "the file "+path)
	if err == nil {
		s.file, s.made = true, made
	}
	return s, err
}

// OpenSealed returns a key manager with the KEK in the file at path, which must be
// there.
func OpenSealed(path string) (*Sealed, error) {
	kek, err := readKEK(path)
	if err != nil {
		return nil, err
	}
	defer clear(kek)
	s, err := newSealed(kek, "the file "+path)
	if err == nil {
		s.file = true
	}
	return s, err
}

// NewSealedFromText returns a key manager with a KEK that was given as base64
// (32 bytes, standard or URL alphabet), by the environment for instance.
// source names where it was found and is used in errors: "CONCORD_KEK".
func NewSealedFromText(text, source string) (*Sealed, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	kek, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(kek) != KEKBytes {
		return nil, fmt.Errorf("%s is not a key-encryption key: it must be %d random bytes in base64, such as `openssl rand -base64 %d` prints", source, KEKBytes, KEKBytes)
	}
	defer clear(kek)
	return newSealed(kek, source)
}

func newSealed(kek []byte, source string) (*Sealed, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, fmt.Errorf("use the key-encryption key of %s: %w", source, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("use the key-encryption key of %s: %w", source, err)
	}
	return &Sealed{aead: aead, check: checkValue(kek), source: source}, nil
}

// checkValue names a KEK without telling anything about it. It tells a wrong
// KEK from a damaged ciphertext.
func checkValue(kek []byte) (check [checkBytes]byte) {
	mac := hmac.New(sha256.New, kek)
	mac.Write([]byte("concord key-encryption key check 1"))
	copy(check[:], mac.Sum(nil))
	return check
}

// Source says where the key-encryption key is, in words.
func (s *Sealed) Source() string { return s.source }

// FromFile reports whether the key-encryption key is in a file of this node's own.
func (s *Sealed) FromFile() bool { return s.file }

// Made reports whether the key-encryption key was made by NewSealed just now.
func (s *Sealed) Made() bool { return s.made }

// ID names the key-encryption key, in hex. It is no secret.
func (s *Sealed) ID() string { return hex.EncodeToString(s.check[:]) }

// Generate makes a key of kind kt and returns it with its ciphertext. b has no
// authority yet: the key names it (ca.KeyID).
func (s *Sealed) Generate(b Binding, kt ca.KeyType) (crypto.Signer, []byte, error) {
	signer, err := generate(kt)
	if err != nil {
		return nil, nil, err
	}
	if b, err = bindTo(b, signer); err != nil {
		return nil, nil, err
	}
	sealed, err := s.seal(b, signer)
	return signer, sealed, err
}

// seal returns signer's ciphertext.
func (s *Sealed) seal(b Binding, signer crypto.Signer) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, fmt.Errorf("encode the key of %s authority %s: %w", b.Use, b.Authority, err)
	}
	defer clear(plain)
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal the key of %s authority %s: %w", b.Use, b.Authority, err)
	}
	return envelope{s.check, nonce, s.aead.Seal(nil, nonce, plain, associated(b, s.check))}.encode(), nil
}

// Open returns the private key in sealed. It is ErrWrongKEK if another
// key-encryption key sealed it and ErrCorrupt if it was changed or is not b's.
func (s *Sealed) Open(b Binding, sealed []byte) (crypto.Signer, error) {
	env, err := decodeEnvelope(sealed)
	if err != nil {
		return nil, fmt.Errorf("open the key of %s authority %s: %w", b.Use, b.Authority, err)
	}
	if env.check != s.check {
		return nil, fmt.Errorf("open the key of %s authority %s: %w: it needs %x and %s holds %s. "+
			"Restore the key-encryption key that this data was made with; a damaged one cannot be repaired",
			b.Use, b.Authority, ErrWrongKEK, env.check, s.source, s.ID())
	}
	plain, err := s.aead.Open(nil, env.nonce, env.ciphertext, associated(b, s.check))
	if err != nil {
		return nil, fmt.Errorf("open the key of %s authority %s: %w: the ciphertext does not belong to this cluster, domain, use and authority. Restore the data directory from a backup", b.Use, b.Authority, ErrCorrupt)
	}
	defer clear(plain)
	signer, err := parseKey(plain)
	if err != nil {
		return nil, fmt.Errorf("open the key of %s authority %s: %w", b.Use, b.Authority, err)
	}
	if id, err := ca.KeyID(signer.Public()); err != nil || id != b.Authority {
		return nil, fmt.Errorf("open the key of %s authority %s: %w: it holds the key of %s", b.Use, b.Authority, ErrCorrupt, id)
	}
	return signer, nil
}

func parseKey(plain []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("%w: not a private key", ErrCorrupt)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("a key that cannot sign")
	}
	return signer, nil
}
