package replica

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// ErrStore means that the log or what is stored beside it could not be read or
// written. What was acknowledged is on disk; whether the write that met the
// error is, nobody knows.
var ErrStore = errors.New("the replica's store failed")

// Store is raft's log and its votes, on disk.
type Store interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// lockWait is how long bbolt tries for its own lock. The directory's lock is
// held by then, so that only something that is not Concord can have the file.
const lockWait = 100 * time.Millisecond

// OpenLog opens or makes the log in dir, a bbolt file. Every write is synced before
// it returns.
func OpenLog(dir string) (Store, error) {
	path := filepath.Join(dir, logFile)
	if err := makeBolt(path); err != nil {
		return nil, fmt.Errorf("%w: make %s: %w", ErrStore, path, err)
	}
	if err := checkHeads(path); err != nil {
		return nil, err
	}
	var store *raftboltdb.BoltStore
	err := guarded(func() (err error) {
		store, err = raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: boltOptions()})
		return err
	})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s; some program holds %s open", ErrInUse, dir, path)
	case err != nil:
		return nil, fmt.Errorf("%w: open %s: %w", ErrStore, path, err)
	}
	return store, nil
}

func boltOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout:        lockWait,
		NoFreelistSync: true, // one page less per write; the list is rebuilt when the file is opened
		FreelistType:   bbolt.FreelistMapType,
	}
}

// makeBolt makes an empty log if there is none, so that after a crash or on a
// full disk it is there whole or not at all: bbolt opens no half of a file.
func makeBolt(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fresh := path + ".new"
	if err := removeIfThere(fresh); err != nil { // an earlier start was cut off
		return err
	}
	db, err := bbolt.Open(fresh, 0o600, boltOptions())
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return errors.Join(err, removeIfThere(fresh))
	}
	return syncDirectory(filepath.Dir(path))
}

// checkedStore gives raft its store. It adds to every entry and value a
// checksum, which the store itself has not, and lets no error pass: one that
// happens ends the process.
type checkedStore struct {
	inner Store
	where string // for messages
	stop  *failstop

	// onFirst, if it is not nil, is called before the first entries are stored.
	onFirst func() error
	first   sync.Once
}

// run does one operation of the store. An error is the last thing that the
// calling goroutine sees.
func (s *checkedStore) run(what string, op func() error) {
	if err := guarded(op); err != nil {
		s.stop.end(fmt.Errorf("%w: %s in %s: %w; nothing that was acknowledged is lost; see to the disk, then start the node again",
			ErrStore, what, s.where, err))
	}
}

// guarded turns a panic of the store into an error. bbolt panics, or faults in
// its memory map, when a page is not what it should be or cannot be read.
func guarded(op func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	return op()
}

// FirstIndex implements raft.LogStore.
func (s *checkedStore) FirstIndex() (index uint64, err error) {
	s.run("find the first log entry", func() (err error) { index, err = s.inner.FirstIndex(); return err })
	return index, nil
}

// LastIndex implements raft.LogStore.
func (s *checkedStore) LastIndex() (index uint64, err error) {
	s.run("find the last log entry", func() (err error) { index, err = s.inner.LastIndex(); return err })
	return index, nil
}

// GetLog implements raft.LogStore. raft.ErrLogNotFound is an answer and no
// failure, unless the log has entries on both sides.
func (s *checkedStore) GetLog(index uint64, log *raft.Log) error {
	var missing error
	s.run(fmt.Sprintf("read log entry %d", index), func() error {
		err := s.read(index, log)
		if errors.Is(err, raft.ErrLogNotFound) {
			missing = raft.ErrLogNotFound
			return s.checkHole(index)
		}
		return err
	})
	return missing
}

func (s *checkedStore) read(index uint64, log *raft.Log) error {
	if err := s.inner.GetLog(index, log); err != nil {
		return err
	}
	return unsealEntry(index, log)
}

// checkHole tells an entry that was compacted, or is not there yet, from one
// that was lost.
func (s *checkedStore) checkHole(index uint64) error {
	first, err := s.inner.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.inner.LastIndex()
	if err != nil {
		return err
	}
	if first == 0 || index < first || index > last {
		return nil
	}
	if err := s.inner.GetLog(index, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
		return err // it was being written while we looked
	}
	return fmt.Errorf("%w: the log has entries %d to %d, but not this one", ErrCorrupt, first, last)
}

// nextChange returns the index of the first entry after index that changes
// the state or the membership, and past the end of the log if there is none.
// Unlike the methods that raft calls, it ends nobody's goroutine.
func (s *checkedStore) nextChange(index uint64) (next uint64, err error) {
	err = guarded(func() error {
		first, err := s.inner.FirstIndex()
		if err != nil {
			return err
		}
		last, err := s.inner.LastIndex()
		if err != nil {
			return err
		}
		for next = max(index+1, first); next <= last; next++ {
			var log raft.Log
			if err := s.read(next, &log); err != nil {
				return err
			}
			if log.Type == raft.LogCommand || log.Type == raft.LogConfiguration {
				return nil
			}
		}
		next = math.MaxUint64
		return nil
	})
	return next, err
}

// StoreLog implements raft.LogStore.
func (s *checkedStore) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. The entries given stay as they are:
// other goroutines read them.
func (s *checkedStore) StoreLogs(logs []*raft.Log) error {
	sealed := make([]*raft.Log, len(logs))
	for i, log := range logs {
		sealed[i] = sealEntry(log)
	}
	if s.onFirst != nil {
		s.first.Do(func() { s.run("note that there is a log", s.onFirst) })
	}
	s.run("append to the log", func() error { return s.inner.StoreLogs(sealed) })
	return nil
}

// DeleteRange implements raft.LogStore.
func (s *checkedStore) DeleteRange(first, last uint64) error {
	s.run(fmt.Sprintf("delete log entries %d to %d", first, last), func() error { return s.inner.DeleteRange(first, last) })
	return nil
}

// Set implements raft.StableStore.
func (s *checkedStore) Set(key, value []byte) error {
	s.run(fmt.Sprintf("write %s", key), func() error { return s.inner.Set(key, sealValue(key, value)) })
	return nil
}

// Get implements raft.StableStore. A value that is not there is an error whose
// text raft knows.
func (s *checkedStore) Get(key []byte) (value []byte, err error) {
	var missing error
	s.run(fmt.Sprintf("read %s", key), func() error {
		sealed, err := s.inner.Get(key)
		if err != nil && err.Error() == raftboltdb.ErrKeyNotFound.Error() {
			missing = err
			return nil
		}
		if err != nil {
			return err
		}
		value, err = unsealValue(key, sealed)
		return err
	})
	return value, missing
}

// SetUint64 implements raft.StableStore.
func (s *checkedStore) SetUint64(key []byte, value uint64) error {
	return s.Set(key, encodeUint64(value))
}

// GetUint64 implements raft.StableStore.
func (s *checkedStore) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	number, err := decodeUint64(value)
	if err != nil {
		s.run(fmt.Sprintf("read %s", key), func() error { return err })
	}
	return number, nil
}
