package keys

import (
	"crypto"
	"fmt"
	"slices"
	"sync"

	"github.com/concord-id/concord/ca"
)

// Ring is a key manager with several key-encryption keys (KEK): one seals, each
// opens what it sealed. There is more than one while a KEK takes the place of
// another, which does not happen on all members at the same moment.
type Ring struct {
	mu     sync.RWMutex
	seals  *Sealed
	others []*Sealed // none has the ID of another
}

// NewRing returns a ring in which seals seals.
func NewRing(seals *Sealed) *Ring { return &Ring{seals: seals} }

// Sealing is the KEK that seals.
func (r *Ring) Sealing() *Sealed {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seals
}

// Others are the IDs of the KEKs that only open.
func (r *Ring) Others() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids := make([]string, 0, len(r.others))
	for _, s := range r.others {
		ids = append(ids, s.ID())
	}
	return ids
}

// Add adds a KEK, which only opens until Use; one that is here is in another place
// now.
func (r *Ring) Add(s *Sealed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seals.ID() == s.ID() {
		r.seals = s
		return
	}
	r.others = append(slices.DeleteFunc(r.others, func(o *Sealed) bool { return o.ID() == s.ID() }), s)
}

// Has reports whether the KEK called id is here.
func (r *Ring) Has(id string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.find(id) != nil
}

// Use has the KEK called id seal from now on, and forgets all others but those to
// keep. It reports whether id is here; nothing changes if it is not.
func (r *Ring) Use(id string, keep ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.find(id)
	if next == nil {
		return false
	}
	kept := slices.DeleteFunc(append(r.others, r.seals), func(s *Sealed) bool { return s == next || !slices.Contains(keep, s.ID()) })
	r.seals, r.others = next, slices.Clip(kept)
	return true
}

// find returns the KEK called id, nil if it is not here.
func (r *Ring) find(id string) *Sealed {
	if r.seals.ID() == id {
		return r.seals
	}
	for _, s := range r.others {
		if s.ID() == id {
			return s
		}
	}
	return nil
}

// Generate makes a key and seals it, as Sealed.Generate does.
func (r *Ring) Generate(b Binding, kt ca.KeyType) (crypto.Signer, []byte, error) {
	return r.Sealing().Generate(b, kt)
}

// Open returns the private key in sealed, as Sealed.Open does.
func (r *Ring) Open(b Binding, sealed []byte) (crypto.Signer, error) {
	r.mu.RLock()
	by := r.find(KEKOf(sealed))
	if by == nil {
		by = r.seals // which says what is wrong
	}
	r.mu.RUnlock()
	return by.Open(b, sealed)
}

// Reseal returns the private key in sealed, sealed by the KEK called id.
func (r *Ring) Reseal(b Binding, sealed []byte, id string) ([]byte, error) {
	signer, err := r.Open(b, sealed)
	if err != nil {
		return nil, err
	}
	r.mu.RLock()
	by := r.find(id)
	r.mu.RUnlock()
	if by == nil {
		return nil, fmt.Errorf("seal the key of %s authority %s anew: the key-encryption key %s is not here", b.Use, b.Authority, id)
	}
	return by.seal(b, signer)
}
