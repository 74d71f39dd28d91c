package state

import (
	"fmt"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
)

// MaxKEKIDBytes bounds the name of a key-encryption key.
const MaxKEKIDBytes = 64

// Reseal replaces the sealed private key of each authority that still signs or
// will: they are sealed with another key-encryption key now. Nothing that others
// see changes.
type Reseal struct {
	KEK  string // names the key-encryption key; no secret
	Keys []SealedKey
}

// SealedKey is the private key of one authority, as ciphertext.
type SealedKey struct {
	Use    ca.Use
	ID     string
	Sealed []byte
}

func (c Reseal) kind() kind      { return kindReseal }
func (c Reseal) subject() string { return subject("key_encryption_key", c.KEK) }

func (c Reseal) fields(v visitor) Command {
	v.text(1, "kek", &c.KEK)
	list(v, 2, "keys", 2*MaxAuthoritiesPerUse, &c.Keys, sealedKeyFields, func(k SealedKey) string { return authorityKey(k.Use, k.ID) })
	return c
}

func sealedKeyFields(v visitor, k *SealedKey) {
	small(v, 1, "use", &k.Use, ca.Use.String)
	v.text(2, "id", &k.ID)
	v.secret(3, "sealed", &k.Sealed)
}

// Validate wants each authority once, with a ciphertext.
func (c Reseal) Validate() error {
	if c.KEK == "" || len(c.KEK) > MaxKEKIDBytes {
		return fmt.Errorf("the key-encryption key's name %.40q has not 1 to %d bytes", c.KEK, MaxKEKIDBytes)
	}
	seen := make(map[string]bool)
	for _, k := range c.Keys {
		if err := validateName(k.Use, k.ID); err != nil {
			return err
		}
		if key := authorityKey(k.Use, k.ID); seen[key] || len(k.Sealed) == 0 {
			return fmt.Errorf("%s authority %s is named twice, or has no sealed key", k.Use, k.ID)
		} else {
			seen[key] = true
		}
	}
	return nil
}

func (c Reseal) apply(d *draft) error {
	if _, err := d.home(); err != nil {
		return err
	}
	resealed := make(map[string][]byte, len(c.Keys))
	for _, k := range c.Keys {
		if _, err := d.named(k.Use, k.ID); err != nil {
			return err
		}
		resealed[authorityKey(k.Use, k.ID)] = k.Sealed
	}
	var next []ca.Authority
	for a := range d.authorities.from("") {
		sealed, ok := resealed[authorityKey(a.Use, a.ID)]
		switch {
		case !ok && len(a.Sealed) > 0 && (a.Status == ca.Active || a.Status == ca.Prepared):
			return broker.Refuse(broker.FailedPrecondition, "%s authority %s is %s and was not sealed anew: this was made from an older view, try again", a.Use, a.ID, a.Status)
		case ok:
			changed := *a
			changed.Sealed = sealed
			next = append(next, changed)
		}
	}
	for i := range next {
		d.authorities.put(d, &next[i])
	}
	d.change.Authorities = true
	return nil
}
