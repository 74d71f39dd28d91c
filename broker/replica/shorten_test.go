package replica_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/replica"
)

// A node that never runs for as long as raft waits between two looks at its log
// shortens it all the same.
func TestTheLogOfANodeThatEndsTimeAndAgainStaysShort(t *testing.T) {
	const due, perStart, starts = 16, 5, 12
	dir := t.TempDir()
	for start := range starts {
		synctest.Test(t, func(t *testing.T) {
			_, transport := raft.NewInmemTransport("alone")
			r := open(t, replica.Options{Dir: dir, Transport: transport, ID: "alone", SnapshotEntries: due, TrailingEntries: 4})
			leads(t, r)
			if start == 0 {
				makeDomain(t, r)
			}
			synctest.Wait()
			// Each start adds what it writes, and an entry that begins its term.
			if s := r.Status(); s.AppliedIndex > s.SnapshotIndex+due+2*perStart {
				t.Errorf("start %d: the newest snapshot is of %d, the state of %d", start, s.SnapshotIndex, s.AppliedIndex)
			}
			for n := range perStart {
				register(t, r, start*perStart+n)
			}
		})
	}
}

// A log that grows fast is shortened before raft looks at it: whoever starts would
// have to apply all of it.
func TestAFastLogIsShortenedBeforeRaftLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, transport := raft.NewInmemTransport("alone")
		r := open(t, replica.Options{Dir: t.TempDir(), Transport: transport, ID: "alone", SnapshotEntries: 8, TrailingEntries: 4})
		leads(t, r)
		makeDomain(t, r)
		for n := range 40 {
			register(t, r, n)
		}
		time.Sleep(2 * time.Second)
		if s := r.Status(); s.AppliedIndex > s.SnapshotIndex+2 {
			t.Errorf("the newest snapshot is of %d, the state of %d", s.SnapshotIndex, s.AppliedIndex)
		}
	})
}
