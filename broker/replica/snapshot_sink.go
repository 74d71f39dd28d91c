package replica

import (
	"bufio"
	"errors"
	"hash"
	"os"
)

// snapshotSink is one snapshot being written. It has its name only when all of
// it is on disk.
type snapshotSink struct {
	files *snapshotFiles
	id    string
	file  *os.File
	sum   hash.Hash
	out   *bufio.Writer
	done  bool
}

// ID implements raft.SnapshotSink.
func (k *snapshotSink) ID() string { return k.id }

// Write implements raft.SnapshotSink.
func (k *snapshotSink) Write(p []byte) (int, error) {
	n, err := k.out.Write(p)
	if err != nil {
		return n, k.files.failed("write", k.id, err)
	}
	return n, nil
}

// Close implements raft.SnapshotSink.
func (k *snapshotSink) Close() error {
	if k.done {
		return nil
	}
	k.done = true
	if err := k.finish(); err != nil {
		return errors.Join(k.files.failed("write", k.id, err), removeIfThere(k.file.Name()))
	}
	return nil
}

func (k *snapshotSink) finish() error {
	err := k.out.Flush()
	if err == nil {
		_, err = k.file.Write(k.sum.Sum(nil))
	}
	if err == nil {
		err = k.file.Sync()
	}
	if err = errors.Join(err, k.file.Close()); err != nil {
		return err
	}
	if err := os.Rename(k.file.Name(), k.files.path(k.id)); err != nil {
		return err
	}
	if err := syncDirectory(k.files.dir); err != nil {
		return err
	}
	return k.files.removeOld()
}

// Cancel implements raft.SnapshotSink: nothing of it stays.
func (k *snapshotSink) Cancel() error {
	if k.done {
		return nil
	}
	k.done = true
	return errors.Join(k.file.Close(), removeIfThere(k.file.Name()))
}
