package keys

import (
	"crypto"
	"fmt"
	"sync"

	"github.com/concord-id/concord/ca"
)

// memoryMagic begins what Memory hands out for storage; the authority follows.
const memoryMagic = "concord-key-in-memory:"

// Memory is a key manager whose keys exist in this process only: nothing about
// them can be stolen from a disk, and they are lost when the process ends. It
// is for domains that are meant to be founded anew, and for tests.
type Memory struct {
	mu   sync.Mutex
	keys map[Binding]crypto.Signer // guarded by mu
}

// NewMemory returns a key manager without keys.
func NewMemory() *Memory { return &Memory{keys: map[Binding]crypto.Signer{}} }

// Generate makes a key of kind kt. The bytes returned name it and are no
// secret. b has no authority yet: the key names it (ca.KeyID).
func (m *Memory) Generate(b Binding, kt ca.KeyType) (crypto.Signer, []byte, error) {
	signer, err := generate(kt)
	if err != nil {
		return nil, nil, err
	}
	if b, err = bindTo(b, signer); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[b] = signer
	return signer, []byte(memoryMagic + b.Authority), nil
}

// Open returns the key of b. It is ErrKeyLost if it ended with another process,
// and ErrSealed if a sealed key manager made it: then it is not lost.
func (m *Memory) Open(b Binding, sealed []byte) (crypto.Signer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	signer, ok := m.keys[b]
	switch {
	case ok && string(sealed) == memoryMagic+b.Authority:
		return signer, nil
	case isSealed(sealed):
		return nil, fmt.Errorf("%s authority %s: %w: configure the key manager that made it (key-manager: sealed) and its key-encryption key", b.Use, b.Authority, ErrSealed)
	}
	return nil, fmt.Errorf("%s authority %s: %w: it lived in the memory of a process that has ended. "+
		"Restart the member that made it if it still runs, found the domain anew in an empty data directory, "+
		"or restore a backup whose keys are sealed (key-manager: sealed keeps keys across restarts)", b.Use, b.Authority, ErrKeyLost)
}
