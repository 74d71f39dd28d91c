package replica_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

// One who votes alone does not wait for a leader that cannot be: only the disk
// takes time.
func TestAReplicaAloneLeadsWithoutWaiting(t *testing.T) {
	for _, name := range []string{"new directory", "directory with a log"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if name != "new directory" {
				synctest.Test(t, func(t *testing.T) { leadIn(t, dir) })
			}
			synctest.Test(t, func(t *testing.T) { leadIn(t, dir) })
		})
	}
}

func leadIn(t *testing.T, dir string) {
	start := time.Now()
	_, transport := raft.NewInmemTransport("alone")
	r := open(t, replica.Options{Dir: dir, Transport: transport, ID: "alone"})
	leads(t, r)
	if took := time.Since(start); took > 10*time.Millisecond {
		t.Errorf("it led after %s of waiting", took)
	}
}

func TestWhatWasAcknowledgedIsThereAfterReopening(t *testing.T) {
	dir := t.TempDir()
	first := open(t, replica.Options{Dir: dir})
	leads(t, first)
	makeDomain(t, first)
	for n := range 20 {
		register(t, first, n)
	}
	want, index := first.View().Digest(), first.View().Index()

	for _, how := range []string{"killed", "closed"} {
		again := dir
		if how == "killed" {
			again = copyDir(t, dir)
		} else {
			closeReplica(t, first)
		}
		second := open(t, replica.Options{Dir: again})
		leads(t, second)
		if second.View().Digest() != want || second.View().Index() != index {
			t.Errorf("%s: the state is another one", how)
		}
	}
}

func TestASecondOpeningIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	open(t, replica.Options{Dir: dir})
	for name, opts := range map[string]replica.Options{
		"the same":                    {Dir: dir},
		"with its log somewhere else": {Dir: dir, OpenStore: openMemory}, // so that bbolt's own lock says nothing
	} {
		if _, err := tryOpen(t, opts); !errors.Is(err, replica.ErrInUse) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got %v, want ErrInUse that names %s", name, err, dir)
		}
	}
}

// Also where the program that has the log is not Concord and knows no lock but bbolt's.
func TestALogThatSomebodyHasOpenIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	closeReplica(t, open(t, replica.Options{Dir: dir}))
	file, err := os.Open(filepath.Join(dir, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err = tryOpen(t, replica.Options{Dir: dir}); !errors.Is(err, replica.ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
}

func TestNobodyElseReadsTheDirectoryWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(t.TempDir(), "private", "raft")
	closeReplica(t, open(t, replica.Options{Dir: dir})) // makes a key
	synctest.Test(t, func(t *testing.T) {
		_, transport := raft.NewInmemTransport("alone")
		r := open(t, replica.Options{Dir: filepath.Join(dir, "other"), Transport: transport, ID: "alone", SnapshotEntries: 1})
		leads(t, r)
		makeDomain(t, r)
		time.Sleep(2 * time.Minute)
		if len(snapshotsIn(t, filepath.Join(dir, "other"))) == 0 {
			t.Error("no snapshot was taken")
		}
	})
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAProposalIsAppliedOnceHoweverOftenItComes(t *testing.T) {
	r := open(t, replica.Options{Dir: t.TempDir()})
	leads(t, r)
	makeDomain(t, r)
	first := register(t, r, 1)
	again := register(t, r, 1)
	if !again.Repeated || again.Index != first.Index || r.View().AgentCount() != 1 {
		t.Errorf("the second time: %+v, the first time: %+v", again, first)
	}
}

func TestARefusalOfTheStateComesBackAsItIs(t *testing.T) {
	r := open(t, replica.Options{Dir: t.TempDir()})
	leads(t, r)
	applied, err := r.Propose(patience(t), act("early"), agent(1)) // there is no domain yet
	var refusal *broker.Refusal
	if !errors.As(err, &refusal) || refusal.Code != broker.FailedPrecondition {
		t.Fatalf("got %v", err)
	}
	if applied.Index == 0 || applied.Refusal == nil {
		t.Errorf("applied: %+v", applied)
	}
	if err := r.WaitIndex(patience(t), applied.Index); err != nil {
		t.Errorf("a refused command has an index too: %v", err)
	}
}

func TestWhatCannotBeProposedIsRefusedBeforeTheLog(t *testing.T) {
	r := open(t, replica.Options{Dir: t.TempDir()})
	leads(t, r)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name    string
		ctx     context.Context
		act     broker.Act
		command state.Command
		code    broker.Code
	}{
		{"no request ID", t.Context(), broker.Act{Actor: "a", At: began}, agent(1), broker.InvalidArgument},
		{"no actor", t.Context(), broker.Act{RequestID: "r", At: began}, agent(1), broker.InvalidArgument},
		{"invalid command", t.Context(), act("r"), state.PutAgent{}, broker.InvalidArgument},
		{"time is over", ended, act("r"), agent(1), broker.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.Propose(c.ctx, c.act, c.command)
			wantCode(t, err, c.code)
		})
	}
}

func TestManyProposeAtOnceAndCloseWaitsForThem(t *testing.T) {
	dir := t.TempDir()
	r := open(t, replica.Options{Dir: dir})
	leads(t, r)
	makeDomain(t, r)
	const callers = 50
	acknowledged := make(chan int, callers*100)
	half := make(chan struct{})
	var working sync.WaitGroup
	var count atomic.Int64
	for caller := range callers {
		working.Go(func() {
			for n := caller; ; n += callers {
				if _, err := r.Propose(patience(t), act(request(n)), agent(n)); err != nil {
					wantUnavailable(t, err)
					return
				}
				acknowledged <- n
				if count.Add(1) == 4*callers {
					close(half)
				}
			}
		})
	}
	<-half
	closeReplica(t, r)
	working.Wait()
	close(acknowledged)
	again := open(t, replica.Options{Dir: dir})
	leads(t, again)
	for n := range acknowledged {
		if !has(again, n) {
			t.Errorf("agent %d was acknowledged and is gone", n)
		}
	}
}

// wantUnavailable is for goroutines that are not the test's own.
func wantUnavailable(t *testing.T, err error) {
	if broker.CodeOf(err) != broker.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
}

func TestAClosedReplicaSaysThatItIsStopping(t *testing.T) {
	r := open(t, replica.Options{Dir: t.TempDir()})
	leads(t, r)
	closeReplica(t, r)
	closeReplica(t, r) // a second time is nothing
	_, err := r.Propose(t.Context(), act("late"), agent(1))
	wantCode(t, err, broker.Unavailable)
	if r.Leading() {
		t.Error("it still leads")
	}
	if err := r.WaitIndex(t.Context(), 1<<40); err == nil {
		t.Error("somebody waits for an index that will not come")
	}
}

func TestTheLogStaysShortAndSnapshotWithTailIsTheState(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // snapshots come by the clock
		_, transport := raft.NewInmemTransport("alone")
		r := open(t, replica.Options{Dir: dir, Transport: transport, ID: "alone", SnapshotEntries: 16, TrailingEntries: 4})
		leads(t, r)
		makeDomain(t, r)
		for n := range 100 {
			register(t, r, n)
			if n%20 == 0 {
				time.Sleep(2 * time.Minute)
			}
		}
		time.Sleep(2 * time.Minute)
		register(t, r, 100)
		s := r.Status()
		if s.SnapshotIndex < s.AppliedIndex-16 {
			t.Errorf("the newest snapshot is of %d, the state of %d", s.SnapshotIndex, s.AppliedIndex)
		}
		if found := snapshotsIn(t, dir); len(found) > 2 {
			t.Errorf("%d snapshots are kept", len(found))
		}
		want, index := r.View().Digest(), r.View().Index()
		closeReplica(t, r)

		_, transport = raft.NewInmemTransport("alone")
		again := open(t, replica.Options{Dir: dir, Transport: transport, ID: "alone"})
		leads(t, again)
		if again.View().Digest() != want || again.View().Index() != index {
			t.Error("snapshot and tail make another state")
		}
	})
}

func TestANodeWithoutItsKeyDoesNotBecomeAnotherOne(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, key string)
		want   error
	}{
		{"key deleted", func(t *testing.T, key string) { remove(t, key) }, replica.ErrNoKey},
		{"another node's key", func(t *testing.T, key string) {
			other := t.TempDir()
			if _, err := replica.EnsureIdentity(other); err != nil {
				t.Fatal(err)
			}
			rename(t, filepath.Join(other, "node.key"), key)
		}, replica.ErrNoKey},
		{"key cut off", func(t *testing.T, key string) {
			if err := os.Truncate(key, 100); err != nil {
				t.Fatal(err)
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			r := open(t, replica.Options{Dir: dir})
			leads(t, r)
			closeReplica(t, r)
			c.change(t, filepath.Join(dir, "node.key"))
			_, err := tryOpen(t, replica.Options{Dir: dir})
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), "node.key") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
