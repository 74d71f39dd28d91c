package node

import (
	"context"
	"fmt"
	"os"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca/keys"
)

// kekVariable is where a key-encryption key may be given to a process, instead
// of a file in its data directory.
const kekVariable = "CONCORD_KEK"

// openKeys opens the key manager.
func (n *Node) openKeys(context.Context) error {
	if n.config.KeyManager == KeysMemory {
		n.keys = keys.NewMemory()
		n.say("Authorities' keys live in this process only (key-manager: memory): they are lost when it ends.")
		return nil
	}
	sealed, err := n.openSealed()
	if err != nil {
		return err
	}
	n.keys = sealed
	if sealed.Made() {
		n.say("Made a key-encryption key: %s. Whoever has it and the data can open every authority; a backup does not contain it, so keep a copy apart.", sealed.Source())
	} else {
		n.say("The key-encryption key is %s.", sealed.Source())
	}
	return nil
}

func (n *Node) openSealed() (*keys.Sealed, error) {
	if text, set := os.LookupEnv(kekVariable); set {
		// What this process starts must not inherit it.
		if err := os.Unsetenv(kekVariable); err != nil {
			return nil, err
		}
		return keys.NewSealedFromText(text, kekVariable)
	}
	if n.dir.lostKEK() {
		return nil, fmt.Errorf("%s holds data, but its key-encryption key %s is missing: restore that file from its copy, or set %s; a new key could not open what is there",
			n.config.DataDir, n.dir.kek(), kekVariable)
	}
	return keys.NewSealed(n.dir.kek())
}

// handOverKEK returns the key-encryption key for a node that joins; nil if it is
// provided to each member in another way.
func (n *Node) handOverKEK() ([]byte, error) {
	sealed, ok := n.keys.(*keys.Sealed)
	if !ok {
		return nil, broker.Refuse(broker.FailedPrecondition, "this cluster's keys live in the memory of one process (key-manager: memory): another member could not have them")
	}
	if !sealed.FromFile() {
		return nil, nil
	}
	return keys.ReadKEK(n.dir.kek())
}
