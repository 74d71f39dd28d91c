package keys_test

import (
	"crypto/ecdsa"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/keys"
)

// ringOf is a ring in which the first of n key-encryption keys seals.
func ringOf(t *testing.T, n int) (*keys.Ring, []*keys.Sealed) {
	t.Helper()
	dir := t.TempDir()
	var all []*keys.Sealed
	for i := range n {
		all = append(all, sealedManager(t, filepath.Join(dir, string(rune('a'+i)))))
	}
	ring := keys.NewRing(all[0])
	for _, s := range all[1:] {
		ring.Add(s)
		ring.Add(s)
	}
	return ring, all
}

func TestARingOpensWhatEachSealedAndSealsWithOne(t *testing.T) {
	ring, all := ringOf(t, 3)
	for i, s := range all {
		signer, sealed := generate(t, s, ca.P256)
		if _, err := ring.Open(bound(t, signer), sealed); err != nil {
			t.Errorf("what %d sealed: %v", i, err)
		}
	}
	if _, sealed := generate(t, ring, ca.P256); keys.KEKOf(sealed) != all[0].ID() || ca.SealedBy(sealed) != all[0].ID() {
		t.Errorf("it sealed with %s, want %s", keys.KEKOf(sealed), all[0].ID())
	}
	if ring.Use("none") || ring.Sealing() != all[0] {
		t.Error("one that is not there seals")
	}
	if !ring.Use(all[2].ID(), all[1].ID()) || ring.Sealing() != all[2] || !slices.Equal(ring.Others(), []string{all[1].ID()}) {
		t.Errorf("%s seals, and there are %q", ring.Sealing().ID(), ring.Others())
	}
	signer, sealed := generate(t, all[0], ca.P256)
	if _, err := ring.Open(bound(t, signer), sealed); !errors.Is(err, keys.ErrWrongKEK) || ring.Has(all[0].ID()) {
		t.Errorf("what a forgotten one sealed: %v", err)
	}
}

func TestAKeyIsSealedAnew(t *testing.T) {
	ring, all := ringOf(t, 2)
	signer, sealed := generate(t, ring, ca.P256)
	anew, err := ring.Reseal(bound(t, signer), sealed, all[1].ID())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := all[1].Open(bound(t, signer), anew)
	if err != nil || !signer.Public().(*ecdsa.PublicKey).Equal(opened.Public()) {
		t.Errorf("it is another key: %v", err)
	}
	if _, err := all[0].Open(bound(t, signer), anew); !errors.Is(err, keys.ErrWrongKEK) {
		t.Errorf("the one before opens it: %v", err)
	}
	if _, err := ring.Reseal(bound(t, signer), sealed, "none"); err == nil {
		t.Error("it is sealed with a key-encryption key that is not there")
	}
	if ca.SealedBy([]byte("CSK")) != "" || ca.SealedBy([]byte("no sealed key, and long")) != "" {
		t.Error("what is not sealed is sealed by something")
	}
}
