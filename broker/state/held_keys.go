package state

import (
	"bytes"
	"crypto"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/tidwall/btree"

	"github.com/concord-id/concord/federation"
)

// heldKeys says which trust domain has a key in its bundle, ours included. A
// key serves one domain (Trust Domain and Bundle §6.2).
type heldKeys struct{ tree *btree.BTreeG[heldKey] }

type heldKey struct {
	hash federation.KeyHash
	td   spiffeid.TrustDomain
}

func newHeldKeys() heldKeys {
	return heldKeys{newTree(func(a, b heldKey) bool { return bytes.Compare(a.hash[:], b.hash[:]) < 0 })}
}

func (k heldKeys) copy() heldKeys { return heldKeys{k.tree.Copy()} }

// holder returns the domain that has the key with hash.
func (k heldKeys) holder(hash federation.KeyHash) (spiffeid.TrustDomain, bool) {
	found, ok := k.tree.Get(heldKey{hash: hash})
	return found.td, ok
}

// hold gives b's keys to its domain. None of them is another's.
func (k heldKeys) hold(b *federation.Bundle) {
	for hash := range hashes(b) {
		k.tree.Set(heldKey{hash, b.TrustDomain})
	}
}

func (k heldKeys) release(b *federation.Bundle) {
	for hash := range hashes(b) {
		k.tree.Delete(heldKey{hash: hash})
	}
}

// hashes returns the hashes of b's keys. A key that several certificates have
// is there once.
func hashes(b *federation.Bundle) map[federation.KeyHash]struct{} {
	all := make(map[federation.KeyHash]struct{}, len(b.X509)+len(b.JWT))
	add := func(key crypto.PublicKey) {
		if hash, err := federation.HashKey(key); err == nil { // a key without hash is in no bundle
			all[hash] = struct{}{}
		}
	}
	for _, cert := range b.X509 {
		add(cert.PublicKey)
	}
	for _, a := range b.JWT {
		add(a.Key)
	}
	return all
}

// contested says which key of b another domain has already, "" if none.
func (k heldKeys) contested(b *federation.Bundle) string {
	for _, c := range federation.Contested(nil, b, k.holder) {
		return fmt.Sprintf("%s is in the bundle of %s already, and a key serves one trust domain", c.Authority, c.Holder.Name())
	}
	return ""
}
