package state

import (
	"fmt"
	"unicode/utf8"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
)

// MaxKEKIDBytes bounds the name of a key-encryption key.
const MaxKEKIDBytes = 64

// maxResealed is all authorities of both uses.
const maxResealed = 2 * MaxAuthoritiesPerUse

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
	list(v, 2, "keys", maxResealed, &c.Keys, sealedKeyFields, SealedKey.authority)
	return c
}

// authority is the key of the authority's record.
func (k SealedKey) authority() string { return authorityKey(k.Use, k.ID) }

func sealedKeyFields(v visitor, k *SealedKey) {
	small(v, 1, "use", &k.Use, ca.Use.String)
	v.text(2, "id", &k.ID)
	v.secret(3, "sealed", &k.Sealed)
}

// Validate wants each authority once, with a ciphertext.
func (c Reseal) Validate() error {
	if c.KEK == "" || len(c.KEK) > MaxKEKIDBytes || !utf8.ValidString(c.KEK) {
		return fmt.Errorf("the key-encryption key's name %.40q is not UTF-8 of 1 to %d bytes", c.KEK, MaxKEKIDBytes)
	}
	if n := len(c.Keys); n == 0 || n > maxResealed {
		return fmt.Errorf("%d keys are sealed anew, not 1 to %d", n, maxResealed)
	}
	seen := make(map[string]bool, len(c.Keys))
	for _, k := range c.Keys {
		if err := validateName(k.Use, k.ID); err != nil {
			return err
		}
		if seen[k.authority()] || len(k.Sealed) == 0 {
			return fmt.Errorf("%s authority %.80q is named twice, or has no sealed key", k.Use, k.ID)
		}
		seen[k.authority()] = true
	}
	return nil
}

func (c Reseal) apply(d *draft) error {
	if _, err := d.home(); err != nil {
		return err
	}
	done := make(map[string]bool, len(c.Keys))
	for _, k := range c.Keys {
		if err := d.reseal(k); err != nil {
			return err
		}
		done[k.authority()] = true
	}
	for a := range d.authorities.from("") {
		if (a.Status == ca.Active || a.Status == ca.Prepared) && !done[authorityKey(a.Use, a.ID)] {
			return broker.Refuse(broker.FailedPrecondition, "%s authority %s is %s and was not sealed anew: this was made from an older view, try again", a.Use, a.ID, a.Status)
		}
	}
	return nil
}

// reseal replaces the sealed key of one authority.
func (d *draft) reseal(k SealedKey) error {
	a := d.authorities.get(k.authority())
	switch {
	case a == nil:
		return broker.Refuse(broker.FailedPrecondition, "there is no %s authority %.80q any more: this was made from an older view, try again", k.Use, k.ID)
	case len(a.Sealed) == 0 || len(k.Sealed) == 0:
		return broker.Refuse(broker.InvalidArgument, "%s authority %s is published only, and its private key is not here: there is nothing to seal", k.Use, k.ID)
	}
	after := *a
	after.Sealed = k.Sealed
	if !d.authorities.same(a, &after) {
		d.authorities.put(d, &after)
		d.change.Authorities = true
	}
	return nil
}
