package replica_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
)

// faultyStore is bbolt on a disk that fails when it is told to.
type faultyStore struct {
	replica.Store
	fault atomic.Pointer[fault]
}

// fault is what the disk does with one operation from now on.
type fault struct {
	op        string
	err       error
	persisted bool // it does what was asked and says that it did not
}

func openFaulty(dir string) (*faultyStore, error) {
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "log.db")})
	return &faultyStore{Store: store}, err
}

func (s *faultyStore) meet(op string, do func() error) error {
	f := s.fault.Load()
	if f == nil || f.op != op {
		return do()
	}
	if f.persisted {
		if err := do(); err != nil {
			return err
		}
	}
	return f.err
}

func (s *faultyStore) StoreLogs(logs []*raft.Log) error {
	return s.meet("append", func() error { return s.Store.StoreLogs(logs) })
}

func (s *faultyStore) Set(key, value []byte) error {
	return s.meet("vote", func() error { return s.Store.Set(key, value) })
}

func (s *faultyStore) DeleteRange(first, last uint64) error {
	return s.meet("delete", func() error { return s.Store.DeleteRange(first, last) })
}

func (s *faultyStore) GetLog(index uint64, log *raft.Log) error {
	return s.meet("read", func() error { return s.Store.GetLog(index, log) })
}

func (s *faultyStore) LastIndex() (last uint64, err error) {
	err = s.meet("length", func() (err error) { last, err = s.Store.LastIndex(); return err })
	return last, err
}

func eachFault(t *testing.T, test func(t *testing.T, err error, persisted bool)) {
	for _, err := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for _, persisted := range []bool{false, true} {
			how := map[bool]string{false: "not persisted", true: "persisted but reported failed"}[persisted]
			t.Run(err.Error()+"/"+how, func(t *testing.T) { test(t, err, persisted) })
		}
	}
}

func TestADiskThatFailsEndsTheReplicaAndLosesNothingAcknowledged(t *testing.T) {
	eachFault(t, func(t *testing.T, disk error, persisted bool) {
		dir := t.TempDir()
		var store *faultyStore
		r := open(t, replica.Options{Dir: dir, OpenStore: func(dir string) (_ replica.Store, err error) {
			store, err = openFaulty(dir)
			return store, err
		}})
		leads(t, r)
		makeDomain(t, r)
		for n := range 5 {
			register(t, r, n)
		}
		store.fault.Store(&fault{"append", disk, persisted})
		_, err := r.Propose(patience(t), act(request(5)), agent(5))
		wantCode(t, err, broker.Unavailable)
		if !strings.Contains(err.Error(), "not known") || !strings.Contains(err.Error(), request(5)) {
			t.Errorf("it does not say that the outcome is unknown, nor how to repeat: %v", err)
		}
		wantStoreFailure(t, failure(t, r), disk, dir)
		_, err = r.Propose(patience(t), act(request(6)), agent(6))
		wantCode(t, err, broker.Unavailable)
		closeReplica(t, r)

		again := open(t, replica.Options{Dir: dir})
		leads(t, again)
		for n := range 5 {
			if !has(again, n) {
				t.Errorf("agent %d was acknowledged and is gone", n)
			}
		}
		if has(again, 5) != persisted {
			t.Errorf("after the restart agent 5 is there: %v", has(again, 5))
		}
		if applied := register(t, again, 5); applied.Repeated != persisted || again.View().AgentCount() != 6 {
			t.Errorf("the repetition: %+v, agents: %d", applied, again.View().AgentCount())
		}
	})
}

func wantStoreFailure(t *testing.T, err, disk error, dir string) {
	t.Helper()
	if !errors.Is(err, replica.ErrStore) || !errors.Is(err, disk) {
		t.Errorf("it ends with %v, want ErrStore and %v", err, disk)
	}
	for _, word := range []string{dir, "acknowledged", "start the node again"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

// An election writes the term and the vote; a start reads the log.
func TestADiskThatFailsDuringTheStartEndsIt(t *testing.T) {
	for _, op := range []string{"vote", "append", "length", "read"} {
		t.Run(op, func(t *testing.T) {
			eachFault(t, func(t *testing.T, disk error, persisted bool) {
				dir := t.TempDir()
				first := open(t, replica.Options{Dir: dir})
				leads(t, first)
				makeDomain(t, first)
				register(t, first, 1)
				closeReplica(t, first)

				r, err := tryOpen(t, replica.Options{Dir: dir, OpenStore: func(dir string) (replica.Store, error) {
					store, err := openFaulty(dir)
					store.fault.Store(&fault{op, disk, persisted})
					return store, err
				}})
				if err == nil {
					err = failure(t, r)
					closeReplica(t, r)
				}
				wantStoreFailure(t, err, disk, dir)

				again := open(t, replica.Options{Dir: dir})
				leads(t, again)
				if !has(again, 1) {
					t.Error("what was acknowledged is gone")
				}
			})
		})
	}
}

// Wherever the very first start is cut off, the next one begins anew.
func TestAFirstStartThatWasCutOffIsBegunAgain(t *testing.T) {
	for _, op := range []string{"vote", "append"} {
		t.Run(op, func(t *testing.T) {
			eachFault(t, func(t *testing.T, disk error, persisted bool) {
				dir := t.TempDir()
				_, err := tryOpen(t, replica.Options{Dir: dir, OpenStore: func(dir string) (replica.Store, error) {
					store, err := openFaulty(dir)
					store.fault.Store(&fault{op, disk, persisted})
					return store, err
				}})
				wantStoreFailure(t, err, disk, dir)
				leads(t, open(t, replica.Options{Dir: dir}))
			})
		})
	}
}

func TestALogThatCannotBeShortenedEndsTheReplica(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(dir string, store *faultyStore) error
		want  error
	}{
		{"entries cannot be deleted", func(_ string, store *faultyStore) error {
			store.fault.Store(&fault{"delete", syscall.EIO, false})
			return nil
		}, replica.ErrStore},
		{"the snapshots' directory is gone", func(dir string, _ *faultyStore) error {
			return os.RemoveAll(filepath.Join(dir, "snapshots"))
		}, replica.ErrSnapshot},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			var store *faultyStore
			_, transport := raft.NewInmemTransport("alone")
			r := open(t, replica.Options{
				Dir: dir, Transport: transport, ID: "alone", SnapshotEntries: 4, TrailingEntries: 1,
				OpenStore: func(dir string) (_ replica.Store, err error) {
					store, err = openFaulty(dir)
					return store, err
				},
			})
			leads(t, r)
			makeDomain(t, r)
			if err := c.spoil(dir, store); err != nil {
				t.Fatal(err)
			}
			for n := range 10 {
				_, _ = r.Propose(t.Context(), act(request(n)), agent(n)) // the last of them may find it ended
			}
			if err := failure(t, r); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// A trail that cannot be written ends the replica as a log does: a change
// without an author is not acknowledged.
func TestATrailThatFailsEndsTheReplica(t *testing.T) {
	trail := &faultyTrail{fail: fmt.Errorf("write the audit trail: %w", syscall.ENOSPC)}
	r := open(t, replica.Options{Dir: t.TempDir(), Trail: trail})
	leads(t, r)
	c, err := firstDomain()
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Propose(patience(t), act("bootstrap"), c)
	wantCode(t, err, broker.Unavailable)
	if err := failure(t, r); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}
