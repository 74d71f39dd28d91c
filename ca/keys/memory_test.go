package keys_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/keys"
)

func TestAKeyInMemoryIsThisProcesssAlone(t *testing.T) {
	m := keys.NewMemory()
	signer, reference := generate(t, m, ca.P256)
	b := bound(t, signer)
	if got, err := m.Open(b, reference); err != nil || got != signer {
		t.Errorf("open: %v, %v", got, err)
	}
	if strings.Contains(string(reference), "PRIVATE") || len(reference) > 100 {
		t.Errorf("the reference %q says too much", reference)
	}
	b.Use = ca.JWT
	if _, err := m.Open(b, reference); !errors.Is(err, keys.ErrKeyLost) {
		t.Errorf("under another binding: %v", err)
	}
}

func TestAKeyOfAnotherProcessIsLost(t *testing.T) {
	sealed := sealedManager(t, kekPath(t))
	inMemory, reference := generate(t, keys.NewMemory(), ca.P256)
	onDisk, ciphertext := generate(t, sealed, ca.P256)
	after := keys.NewMemory() // the process was started again

	for name, test := range map[string]struct {
		err  error
		is   error
		want string
	}{
		"a memory key":                        {second(after.Open(bound(t, inMemory), reference)), keys.ErrKeyLost, "found the domain anew"},
		"a sealed key is not":                 {second(after.Open(bound(t, onDisk), ciphertext)), keys.ErrSealed, "key-manager: sealed"},
		"a memory key, by the sealed manager": {second(sealed.Open(bound(t, inMemory), reference)), keys.ErrKeyLost, "key-manager: memory"},
	} {
		if !errors.Is(test.err, test.is) || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: %v, want %v that says what to do (%q)", name, test.err, test.is, test.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }
