package state

import (
	"fmt"
	"slices"
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
	// Removed is how many members had been removed, and After the log index of the
	// Reseal before (0: none), when the KEK was given to the members: refused, with
	// Aborted, if that is not so any more. So no two KEKs take the place of one, and
	// nobody who was removed meanwhile has been given this one. Nil in the logs of
	// versions that did not say.
	Removed *uint64
	After   uint64
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
	v.optional(3, "", &c.Removed)
	v.count(4, "", &c.After)
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
	if err := c.current(d); err != nil {
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
	if c.Removed != nil {
		d.sealed(c.KEK)
	}
	return nil
}

// current refuses a key-encryption key that was made before what is true now.
func (c Reseal) current(d *draft) error {
	last := Sealing{}
	if s := d.sealing.get(""); s != nil {
		last = *s
	}
	switch {
	case c.Removed == nil && last.KEK == "":
		return nil // as it was, before anybody was asked what it was made from
	case c.Removed == nil:
		return broker.Refuse(broker.FailedPrecondition, "it is not said what the key-encryption key %s was made from", c.KEK)
	case c.After != last.Index:
		return broker.Refuse(broker.Aborted, "the keys were sealed anew at log index %d, and this was made from what was sealed at %d: make another", last.Index, c.After)
	case *c.Removed != uint64(d.removed.count()):
		return broker.Refuse(broker.Aborted, "%d members have been removed, and the key-encryption key %s was given away when it were %d: make another", d.removed.count(), c.KEK, *c.Removed)
	}
	for _, k := range c.Keys {
		if by := ca.SealedBy(k.Sealed); by != c.KEK {
			return broker.Refuse(broker.InvalidArgument, "the key of %s authority %s is sealed with the key-encryption key %q, not %s", k.Use, k.ID, by, c.KEK)
		}
	}
	return nil
}

// sealed records that everything is sealed with kek from now on. If a compromised
// member was removed since the last time, whatever there is now it could open.
func (d *draft) sealed(kek string) {
	next := Sealing{}
	if last := d.sealing.get(""); last != nil {
		next = *last
	}
	next.KEK, next.Index, next.At = kek, d.index, d.act.At
	if compromised := d.answer(d.index); compromised {
		next.ExposedAt, next.Exposed = d.index, nil
		for a := range d.authorities.from("") {
			if len(a.Sealed) > 0 {
				next.Exposed = append(next.Exposed, authorityKey(a.Use, a.ID))
			}
		}
	} else {
		next.Exposed = slices.DeleteFunc(slices.Clone(next.Exposed), func(key string) bool { return d.authorities.get(key) == nil })
	}
	d.sealing.put(d, &next)
	d.change.Authorities, d.change.Members = true, true
}

// answer notes that what the removed members know opens nothing from index on, and
// reports whether one of those that this was still to be said of is compromised.
func (d *draft) answer(index uint64) (compromised bool) {
	var open []*Removed
	for r := range d.removed.from("") {
		if r.Resealed == 0 {
			open = append(open, r)
		}
	}
	for _, r := range open {
		answered := *r
		answered.Resealed = index
		d.removed.put(d, &answered)
		compromised = compromised || r.Compromised
	}
	return compromised
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
