package replica

import (
	"sync"
	"time"
)

// vouch is a leader's word: at that moment commit was the newest committed index.
type vouch struct {
	commit uint64
	at     time.Time // with its monotonic reading
}

// freshness knows the newest moment of which this node's state has everything:
// a leader with a quorum vouched for an index then, and the state has it since.
// Two words are kept that the state has not reached yet: the oldest, which it
// will reach first, and the newest.
type freshness struct {
	// caughtUp reports whether the state has applied everything up to commit.
	caughtUp func(commit uint64) bool

	mu             sync.Mutex
	confirmed      time.Time // zero: no leader was heard since this process started
	oldest, newest vouch     // commit 0: none
}

// vouched notes a leader's word.
func (f *freshness) vouched(commit uint64, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	f.newest = vouch{commit, at}
	if f.oldest.commit == 0 {
		f.oldest = f.newest
	}
	f.settle()
}

// settle moves what the state has reached into confirmed.
func (f *freshness) settle() {
	switch {
	case f.newest.commit == 0:
	case f.caughtUp(f.newest.commit):
		f.confirmed = f.newest.at
		f.oldest, f.newest = vouch{}, vouch{}
	case f.caughtUp(f.oldest.commit):
		f.confirmed = f.oldest.at
		f.oldest = f.newest
	}
}

// since returns how old the state may be; heard is false if no leader was
// heard since this process started.
func (f *freshness) since(now time.Time) (d time.Duration, heard bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	if f.confirmed.IsZero() {
		return 0, false
	}
	return max(0, now.Sub(f.confirmed)), true
}
