package replica

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// raft looks at the length of its log each half minute. That is too seldom
// twice: for a node that ends sooner, time and again, whose log would grow without
// end; and for thousands of changes a second, which the next start would all
// apply again. So it is looked at each second, and when leadership begins.

// longShare is which share of the entries of the state the log may always have, so
// that what is written for snapshots stays in proportion to what is changed.
const longShare = 32

// overdue reports whether what was applied since the newest snapshot, which a start
// would apply again, is too much to wait for raft to look.
func (r *Replica) overdue() bool {
	applied, covered := r.applier.index.Load(), r.applier.covered.Load()
	allowed := max(r.snapshotEntries, uint64(r.View().EntryCount()/longShare))
	return r.applier.bytes.Load() > snapshotBytes || applied >= covered+allowed
}

// tidy has a snapshot taken if the log is too long. A node that applies what it
// found at its start has to do that first.
func (r *Replica) tidy() {
	if _, heard := r.fresh.since(time.Now()); !heard || !r.overdue() {
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
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		r.log.Warn("the log could not be shortened", "error", err)
	}
}
