package replica

import (
	"crypto/sha256"
	"sync"
)

// keptDigests is how many of the newest digests are kept: a member that is asked
// may be so many commands ahead of, or behind, the one that asks.
const keptDigests = 4096

// digests are what the state's digest was after each of the newest commands, so
// that members can be compared although they are never asked at the same moment.
type digests struct {
	mu   sync.Mutex
	kept [keptDigests]struct {
		index  uint64
		digest [sha256.Size]byte
	}
}

func (d *digests) note(index uint64, digest [sha256.Size]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := &d.kept[index%keptDigests]
	at.index, at.digest = index, digest
}

func (d *digests) at(index uint64) ([sha256.Size]byte, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := &d.kept[index%keptDigests]
	return at.digest, at.index == index && index > 0
}

// DigestAt returns the digest of the state after the command at index; false if
// there was no command, or it is too long ago.
func (r *Replica) DigestAt(index uint64) ([sha256.Size]byte, bool) {
	return r.applier.digests.at(index)
}
