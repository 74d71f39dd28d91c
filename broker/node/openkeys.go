package node

import (
	"context"
	"fmt"
	"os"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca/keys"
)

// kekVariable is where a key-encryption key may be given to a process, instead
// of a file in its data directory, and nextKEKVariable the one that is to take
// its place.
const (
	kekVariable     = "CONCORD_KEK"
	nextKEKVariable = "CONCORD_KEK_NEXT"
)

// openKeys opens the key manager.
func (n *Node) openKeys(context.Context) error {
	if n.config.KeyManager == KeysMemory {
		n.keys = keys.NewMemory()
		n.say("Authorities' keys live in this process only (key-manager: memory): they are lost when it ends.")
		return nil
	}
	made, err := n.openKEKs()
	if err != nil {
		return err
	}
	n.keys = n.kek.ring
	source := n.kek.ring.Sealing().Source()
	if made {
		n.say("Made a key-encryption key: %s. Whoever has it and the data can open every authority; a backup does not contain it, so keep a copy apart.", source)
	} else {
		n.say("The key-encryption key is %s.", source)
	}
	return nil
}

// openKEKs opens the key-encryption keys that are provided, or those in files.
func (n *Node) openKEKs() (made bool, err error) {
	if text, set := os.LookupEnv(kekVariable); set {
		n.kek, err = providedKEKs(n.dir, text)
		return false, err
	}
	if _, set := os.LookupEnv(nextKEKVariable); set {
		return false, fmt.Errorf("%s is set, and %s is not: it is for a node whose key-encryption key is provided, set both or none", nextKEKVariable, kekVariable)
	}
	if n.dir.lostKEK() {
		return false, fmt.Errorf("%s holds data, but its key-encryption key %s is missing: restore that file from its copy, or set %s; a new key could not open what is there",
			n.config.DataDir, n.dir.kek(), kekVariable)
	}
	n.kek, made, err = openKEKStore(n.dir)
	return made, err
}

// providedKEKs are those of the environment, which what this process starts must
// not inherit.
func providedKEKs(dir dataDir, text string) (*kekStore, error) {
	next, coming := os.LookupEnv(nextKEKVariable)
	for _, name := range []string{kekVariable, nextKEKVariable} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	sealed, err := keys.NewSealedFromText(text, kekVariable)
	if err != nil {
		return nil, err
	}
	k := &kekStore{dir: dir, ring: keys.NewRing(sealed)}
	if coming {
		following, err := keys.NewSealedFromText(next, nextKEKVariable)
		if err != nil {
			return nil, err
		}
		k.ring.Add(following)
	}
	return k, nil
}

// handOverKEK returns the key-encryption key for a node that joins; nil if it is
// provided to each member in another way.
func (n *Node) handOverKEK() ([]byte, error) {
	if n.kek == nil {
		return nil, broker.Refuse(broker.FailedPrecondition, "this cluster's keys live in the memory of one process (key-manager: memory): another member could not have them")
	}
	if !n.kek.own {
		return nil, nil
	}
	return n.kek.read(n.kek.ring.Sealing().ID())
}
