// Package keys makes the private keys of a domain's authorities and keeps them
// from being read where they rest. What it hands out for storage is
// ciphertext, or the name of a key that never leaves this process; it refuses
// to open anything under another binding than the one that it was made for.
//
// There are two key managers with the same methods. Sealed encrypts each key
// with one key-encryption key (KEK), so that every member of a cluster that
// has the KEK can open every authority. Memory keeps keys in the process: they
// end with it.
package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/concord-id/concord/ca"
)

// Binding is what a sealed key belongs to; see ca.Binding.
type Binding = ca.Binding

// What callers branch on.
var (
	// ErrWrongKEK: the key was sealed with another key-encryption key than
	// this process has, or the file that holds it was damaged.
	ErrWrongKEK = errors.New("sealed with another key-encryption key")
	// ErrCorrupt: the sealed key was changed since it was made, or belongs to
	// another cluster, domain, use or authority.
	ErrCorrupt = errors.New("the sealed key is damaged")
	// ErrSealed: the key is sealed, and this key manager opens no sealed keys.
	ErrSealed = errors.New("the key is sealed")
	// ErrKeyLost: the key lived in the memory of a process that has ended.
	ErrKeyLost = errors.New("the key is lost")
)

// generate makes a private key of kind kt. RSA-4096 takes about a second.
func generate(kt ca.KeyType) (crypto.Signer, error) {
	if err := kt.Validate(); err != nil {
		return nil, err
	}
	switch kt {
	case ca.P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ca.RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case ca.RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// bindTo returns b bound to the authority that signer's public key names.
func bindTo(b Binding, signer crypto.Signer) (Binding, error) {
	if b.Authority != "" {
		return b, fmt.Errorf("a new key cannot be made for authority %.80q: an authority is named by its key", b.Authority)
	}
	id, err := ca.KeyID(signer.Public())
	b.Authority = id
	return b, err
}
