package powercut

import (
	"path"
	"syscall"
	"time"
)

// Op is a kind of operation that can fail.
type Op uint8

// The operations.
const (
	Write Op = iota + 1
	Sync
)

// Fault makes one operation fail, and every later one of the kind on the file.
type Fault struct {
	Op   Op
	File string // its name in its directory, as path.Match has it
	Nth  int    // the first of them that fails, from 1
	Err  syscall.Errno
	Kept bool // it is done nevertheless

	met bool
}

// slowness makes operations take longer.
type slowness struct {
	op   Op
	file string
	time time.Duration
}

// Slow makes each operation on files of a name, as path.Match has it, take so
// much longer.
func (d *Disk) Slow(op Op, file string, time time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow = append(d.slow, slowness{op, file, time})
}

// tarry is how a slow disk begins an operation. Others go on meanwhile.
func (d *Disk) tarry(op Op, in *inode) {
	d.mu.Lock()
	var wait time.Duration
	for _, s := range d.slow {
		if like, err := path.Match(s.file, in.name); s.op == op && like && err == nil {
			wait += s.time
		}
	}
	d.mu.Unlock()
	time.Sleep(wait)
}

// Inject makes an operation fail.
func (d *Disk) Inject(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, &f)
}

// Mend takes all faults and all slowness away.
func (d *Disk) Mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults, d.slow = nil, nil
}

// Met reports whether a fault was met.
func (d *Disk) Met() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.faults {
		if f.met {
			return true
		}
	}
	return false
}

// fails returns with what an operation on in fails, and whether it is done.
func (d *Disk) fails(op Op, in *inode) (errno syscall.Errno, kept bool) {
	for _, f := range d.faults {
		if like, err := path.Match(f.File, in.name); f.Op != op || !like || err != nil {
			continue
		}
		if f.Nth--; f.Nth <= 0 {
			f.met = true
			return f.Err, f.Kept
		}
	}
	return 0, true
}

// String returns the operation's name.
func (op Op) String() string {
	if op == Write {
		return "write"
	}
	return "sync"
}
