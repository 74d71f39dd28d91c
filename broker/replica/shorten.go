package replica

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// raft looks at the length of its log each half minute. That is too seldom
// twice: for a node that ends sooner, time and again, whose log would grow without
// end; and for thousands of changes a second, which the next start would all
// apply again.
const (
	// longLog is how many times the entries that make a snapshot due may stand in
	// the log before raft looks by itself,
	longLog = 4
	// and a log may always be one part in longShare as long as the state is large, so
	// that what is written stays in proportion to what is changed.
	longShare = 8
)

// tail is what was applied since the newest snapshot.
type tail struct{ entries, bytes uint64 }

// tail counts what a start would have to apply.
func (r *Replica) tail() tail {
	applied, covered := r.raft.Load().AppliedIndex(), r.applier.covered.Load()
	return tail{applied - min(applied, covered), r.applier.bytes.Load()}
}

// overdue reports whether t is too long for raft to find it at its next look. The
// tail that this start found counts as if raft looked now.
func (r *Replica) overdue(t tail) bool {
	allowed := r.snapshotEntries
	if r.settled.Load() {
		allowed = max(longLog*allowed, uint64(r.View().EntryCount()/longShare))
	}
	return t.bytes > snapshotBytes || t.entries >= allowed
}

// tidy has a snapshot taken if the log is too long. Before this node has all of its
// log there is nothing to decide.
func (r *Replica) tidy() {
	if _, heard := r.fresh.since(time.Now()); !heard {
		return
	}
	if !r.overdue(r.tail()) {
		r.settled.Store(true)
		return
	}
	if r.snapshot.CompareAndSwap(false, true) {
		r.work.Go(r.shorten)
	}
}

// shorten takes a snapshot.
func (r *Replica) shorten() {
	defer r.snapshot.Store(false)
	err := r.await(func() raft.Future { return r.raft.Load().Snapshot() })
	switch {
	case err == nil, errors.Is(err, raft.ErrNothingNewToSnapshot):
		r.settled.Store(true)
	default:
		r.log.Warn("the log could not be shortened", "error", err)
	}
}
