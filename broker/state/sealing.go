package state

import (
	"slices"
	"time"

	"github.com/concord-id/concord/ca"
)

// Sealing is with which key-encryption key (KEK) the authorities' private keys
// are sealed, and why that must change. There is none before the KEK was changed
// for the first time.
type Sealing struct {
	KEK   string    // its name; "" before the first Reseal
	Index uint64    // log index of the newest Reseal; 0 before the first
	At    time.Time // of the newest Reseal
	Asked uint64    // log index of the newest RenewKEK; past Index: it is still to be done

	// Exposed are the authorities whose keys a compromised member could open:
	// all that there were at the Reseal after its removal. ExposedAt is the
	// index of that Reseal; 0: none was ever exposed.
	Exposed   []string // keys of their records, sorted; of those that are gone too, until the next Reseal
	ExposedAt uint64
}

var sealingShape = shape[Sealing]{
	kind: recordSealing,
	name: "sealing",
	key:  func(*Sealing) string { return "" },
	fields: func(v visitor, s *Sealing) {
		v.text(1, "key_encryption_key", &s.KEK)
		v.count(2, "", &s.Index)
		v.moment(3, "", &s.At)
		v.count(4, "", &s.Asked)
		list(v, 5, "exposed", maxResealed, &s.Exposed, nameFields, asIs)
		v.count(6, "", &s.ExposedAt)
	},
}

// exposes reports whether a's key could be opened by a compromised member.
func (s *Sealing) exposes(a ca.Authority) bool {
	if s == nil {
		return false
	}
	_, exposed := slices.BinarySearch(s.Exposed, authorityKey(a.Use, a.ID))
	return exposed
}

// Sealing returns what is known of the key-encryption key; false if it was never
// changed, nor asked to be.
func (v *View) Sealing() (Sealing, bool) { return deref(v.sealing.get("")) }

// ResealDue is why the key-encryption key must change.
type ResealDue struct {
	Asked   bool      // an operator wants it
	Removed []Removed // members that were removed since and know it, sorted by ID
}

// ResealDue says why the key-encryption key must change; false if it need not.
func (v *View) ResealDue() (ResealDue, bool) {
	var due ResealDue
	if v.domain.get("") == nil {
		return due, false
	}
	if s := v.sealing.get(""); s != nil {
		due.Asked = s.Asked > s.Index
	}
	for r := range v.removed.from("") {
		if r.Resealed == 0 {
			due.Removed = append(due.Removed, *r)
		}
	}
	return due, due.Asked || len(due.Removed) > 0
}

// RemovedCount is how many members were ever removed.
func (v *View) RemovedCount() uint64 { return uint64(v.removed.count()) }

// Exposed reports whether a compromised member could open a's key.
func (v *View) Exposed(a ca.Authority) bool { return v.sealing.get("").exposes(a) }

// Turning are the authorities that a compromised member could open and that
// something is still to be done about: they sign, or will, or are not tainted.
func (v *View) Turning() []ca.Authority {
	var turning []ca.Authority
	for a := range v.authorities.from("") {
		if v.Exposed(*a) && (a.Status != ca.Old || !a.Tainted) {
			turning = append(turning, *a)
		}
	}
	return turning
}

// TurnAtOnce reports whether an operator said, when a compromised member was
// removed, that the publication window is not waited for.
func (v *View) TurnAtOnce() bool {
	s := v.sealing.get("")
	if s == nil {
		return false
	}
	for r := range v.removed.from("") {
		if r.Force && r.Compromised && r.Resealed == s.ExposedAt {
			return true
		}
	}
	return false
}
