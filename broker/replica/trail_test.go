package replica_test

import (
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/audit"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

// faultyTrail fails every record.
type faultyTrail struct{ fail error }

func (f *faultyTrail) Append(state.AuditRecord) error  { return f.fail }
func (f *faultyTrail) Restored(uint64, [32]byte) error { return f.fail }
func (f *faultyTrail) Sync() error                     { return f.fail }

// unsyncedTrail keeps every record and never brings one to the disk.
type unsyncedTrail struct {
	notedTrail
	fail error
}

func (u *unsyncedTrail) Sync() error { return u.fail }

// Whoever waits for the snapshot is answered, so that the replica can be closed.
func TestATrailThatCannotBeSyncedEndsTheReplica(t *testing.T) {
	_, transport := raft.NewInmemTransport("alone")
	r := open(t, replica.Options{
		Dir: t.TempDir(), Transport: transport, ID: "alone", SnapshotEntries: 4, TrailingEntries: 1,
		Trail: &unsyncedTrail{fail: syscall.EIO},
	})
	leads(t, r)
	makeDomain(t, r)
	for n := range 10 {
		_, _ = r.Propose(t.Context(), act(request(n)), agent(n)) // the last of them may find it ended
	}
	if err := failure(t, r); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	closeReplica(t, r)
}

// notedTrail remembers what it was told.
type notedTrail struct {
	mu       sync.Mutex
	indexes  []uint64
	restored []uint64
	synced   int
}

func (n *notedTrail) Append(r state.AuditRecord) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.indexes = append(n.indexes, r.Index)
	return nil
}

func (n *notedTrail) Restored(index uint64, _ [32]byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.restored = append(n.restored, index)
	return nil
}

func (n *notedTrail) Sync() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.synced++
	return nil
}

func TestTheTrailIsToldOfEachCommandInOrder(t *testing.T) {
	dir := t.TempDir()
	trail := &notedTrail{}
	r := open(t, replica.Options{Dir: dir, Trail: trail})
	leads(t, r)
	makeDomain(t, r)
	var want []uint64
	for n := range 5 {
		want = append(want, register(t, r, n).Index)
		register(t, r, n) // a repetition has a record already
	}
	closeReplica(t, r)
	if got := trail.indexes[1:]; !slices.Equal(got, want) {
		t.Errorf("told of %d, want %d", got, want)
	}
	replayed := &notedTrail{}
	again := open(t, replica.Options{Dir: dir, Trail: replayed})
	leads(t, again)
	closeReplica(t, again)
	if !slices.Equal(replayed.indexes, trail.indexes) {
		t.Errorf("after a restart told of %d, want %d", replayed.indexes, trail.indexes)
	}
}

func TestTheTrailIsSyncedBeforeTheLogForgets(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		trail := &notedTrail{}
		_, transport := raft.NewInmemTransport("alone")
		r := open(t, replica.Options{Dir: dir, Transport: transport, ID: "alone", Trail: trail, SnapshotEntries: 4, TrailingEntries: 1})
		leads(t, r)
		makeDomain(t, r)
		for n := range 5 {
			register(t, r, n)
		}
		time.Sleep(2 * time.Minute)
		closeReplica(t, r)
		if len(snapshotsIn(t, dir)) == 0 || trail.synced == 0 {
			t.Errorf("%d snapshots, %d syncs of the trail", len(snapshotsIn(t, dir)), trail.synced)
		}

		again := &notedTrail{}
		_, transport = raft.NewInmemTransport("alone")
		open(t, replica.Options{Dir: dir, Transport: transport, ID: "alone", Trail: again})
		if len(again.restored) != 1 || again.restored[0] == 0 {
			t.Errorf("restored at %d", again.restored)
		}
	})
}

// The audit trail and the log together: killed anywhere, the trail is whole;
// lost, it says what is missing.
func TestTheAuditTrailSurvivesWithTheLog(t *testing.T) {
	dir, records := t.TempDir(), t.TempDir()
	trail := openTrail(t, records)
	r := open(t, replica.Options{Dir: dir, Trail: trail})
	leads(t, r)
	makeDomain(t, r)
	for n := range 5 {
		register(t, r, n)
	}
	killed, cut := copyDir(t, dir), copyDir(t, records)
	closeReplica(t, r)

	for _, c := range []struct{ name, records string }{{"trail kept", cut}, {"trail lost, log whole", t.TempDir()}} {
		again := openTrail(t, c.records)
		second := open(t, replica.Options{Dir: copyDir(t, killed), Trail: again})
		leads(t, second)
		register(t, second, 6)
		closeReplica(t, second)
		report, err := again.Verify(t.Context())
		if err != nil || !report.Whole() || report.Records != 7 || report.Head != second.View().AuditHead() {
			t.Errorf("%s: %v, %v", c.name, report, err)
		}
	}
}

func TestATrailThatWasLostBehindASnapshotSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		_, transport := raft.NewInmemTransport("alone")
		r := open(t, replica.Options{Dir: dir, Transport: transport, ID: "alone", SnapshotEntries: 4, TrailingEntries: 1})
		leads(t, r)
		makeDomain(t, r)
		for n := range 5 {
			register(t, r, n)
		}
		time.Sleep(2 * time.Minute)
		upTo := register(t, r, 6).Index - 1
		closeReplica(t, r)

		trail := openTrail(t, t.TempDir())
		_, transport = raft.NewInmemTransport("alone")
		again := open(t, replica.Options{Dir: dir, Transport: transport, ID: "alone", Trail: trail})
		leads(t, again)
		report, err := trail.Verify(t.Context())
		if err != nil || report.Break != "" || report.Records != 1 || len(report.Gaps) != 1 || report.Gaps[0].After != 0 || report.Gaps[0].Until != upTo {
			t.Errorf("%+v, %v; the snapshot goes up to %d", report, err, upTo)
		}
		closeReplica(t, again)
	})
}

func openTrail(t testing.TB, dir string) *audit.Trail {
	t.Helper()
	trail, err := audit.Open(audit.Options{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := trail.Close(); err != nil {
			t.Errorf("close the trail: %v", err)
		}
	})
	return trail
}
