// Package powercut is a disk in memory that does what disks do and page caches
// hide: what was written and not synced may be forgotten when the power goes,
// in any part and any order; a name is on the disk when its directory was
// synced; the disk may be full, and an operation may fail. A process uses it
// through FUSE, and notices no difference until the power goes.
//
// It is stricter than any one file system: nothing survives by a side effect.
package powercut

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
)

// Disk is a disk. It may be mounted, once at a time, and is used by any number
// of goroutines.
type Disk struct {
	mu     sync.Mutex
	root   *inode
	inodes uint64 // made so far

	faults []*Fault
	slow   []slowness
	full   bool

	left int           // operations until the power goes; 0: it does not
	off  chan struct{} // closed when it has gone
	dark bool          // it has gone
}

// NewDisk returns an empty disk.
func NewDisk() *Disk {
	d := &Disk{}
	d.root = d.newInode(syscall.S_IFDIR | 0o755)
	d.root.links = 2
	return d
}

// CutAfter lets the power go at the n-th operation from now that changes
// something or syncs. That one and all behind it fail with EIO and do nothing.
// The channel is closed at that moment.
func (d *Disk) CutAfter(n int) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.off = n, make(chan struct{})
	return d.off
}

// Restore gives the power back, to a disk that is not mounted. Of each file and
// directory there is what was synced, and of what was not, what random keeps:
// with a nil random, nothing.
func (d *Disk) Restore(random *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.off, d.dark = 0, nil, false
	d.root.fall(random, map[*inode]bool{})
}

// Fill leaves no space: whatever needs more of it fails with ENOSPC. What has
// its space already can be written again.
func (d *Disk) Fill() { d.setFull(true) }

// Free gives space back.
func (d *Disk) Free() { d.setFull(false) }

func (d *Disk) setFull(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

// ReadFile returns what a reader of the mounted disk would find in the file at
// path, which has slashes and no root: "private/kek". Nothing of it goes
// through FUSE, so that who serves the disk may ask.
func (d *Disk) ReadFile(path string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.find(path)
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), in.bytes...), nil
}

func (d *Disk) find(path string) (*inode, error) {
	in, err := d.look(path)
	if err == nil && in.kind() != syscall.S_IFREG {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is no file")}
	}
	return in, err
}

// look returns the file or the directory at path.
func (d *Disk) look(path string) (*inode, error) {
	in := d.root
	for name := range strings.SplitSeq(path, "/") {
		next, ok := in.names[name]
		if !ok {
			return nil, &fs.PathError{Op: "find", Path: path, Err: fs.ErrNotExist}
		}
		in = next
	}
	return in, nil
}

// change begins an operation that changes something or syncs. The caller has
// the lock.
func (d *Disk) change() syscall.Errno {
	if d.left > 0 {
		if d.left--; d.left == 0 {
			d.dark = true
			close(d.off)
		}
	}
	if d.dark {
		return syscall.EIO
	}
	return 0
}

// add begins an operation that makes a name.
func (d *Disk) add() syscall.Errno {
	if errno := d.change(); errno != 0 {
		return errno
	}
	if d.full {
		return syscall.ENOSPC
	}
	return 0
}
