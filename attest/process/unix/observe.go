package unix

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	sys "golang.org/x/sys/unix"

	"github.com/concord-id/concord/attest"
)

// observation is one look at a process. Its program is to be closed.
type observation struct {
	ids
	started uint64 // clock ticks since boot
	program *program
}

// observe looks at pid through /proc.
func observe(pid int32) (observation, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return observation{}, hint(err)
	}
	started, err := parseStat(stat)
	if err != nil {
		return observation{}, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return observation{}, hint(err)
	}
	creds, err := parseStatus(status)
	if err != nil {
		return observation{}, fmt.Errorf("read /proc/%d/status: %w", pid, err)
	}
	running, err := openProgram(pid)
	if err != nil {
		return observation{}, err
	}
	return observation{ids: creds, started: started, program: running}, nil
}

// hint adds what may keep a living process from being seen.
func hint(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (with hidepid, or without root's rights, /proc hides other users' processes)", err)
	}
	return err
}

// same reports what differs between two looks.
func (o observation) same(then observation) error {
	switch {
	case o.started != then.started:
		return fmt.Errorf("another process took its PID while it was observed: %w", attest.ErrProcessLost)
	case o.ids != then.ids:
		return fmt.Errorf("its user or groups changed while it was observed: %w", attest.ErrProcessLost)
	case o.program.path != then.program.path, o.program.file != then.program.file:
		return fmt.Errorf("its program changed while it was observed (%q, then %q): %w", o.program.path, then.program.path, attest.ErrProcessLost)
	}
	return nil
}

// program is what a process runs.
type program struct {
	path string // as the kernel prints it: a claim until leadsHere
	fd   int    // O_PATH; -1 if we may not look
	file stamp  // zero if we may not look
}

// openProgram opens what pid runs. Without the right to look at another user's
// process the program has neither path nor descriptor.
func openProgram(pid int32) (*program, error) {
	link := fmt.Sprintf("/proc/%d/exe", pid)
	path, err := os.Readlink(link)
	if errors.Is(err, fs.ErrPermission) {
		return &program{fd: -1}, nil
	}
	if err != nil {
		return nil, lost(err)
	}
	fd, err := sys.Open(link, sys.O_PATH|sys.O_CLOEXEC, 0)
	if err != nil {
		return nil, lost(&fs.PathError{Op: "open", Path: link, Err: err})
	}
	file, err := stampOf(fd)
	if err != nil {
		sys.Close(fd)
		return nil, err
	}
	return &program{path: path, fd: fd, file: file}, nil
}

// lost reads a missing exe as what it means: a process without memory, which
// is one that is ending, or one of the kernel's own.
func lost(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, sys.ESRCH) {
		return fmt.Errorf("it runs no program: %w: %w", err, attest.ErrProcessLost)
	}
	return err
}

// leadsHere reports whether path is, in our own mount namespace, the program's
// file: not deleted, not replaced, not a name from another namespace.
func (p *program) leadsHere() bool {
	if p.fd < 0 {
		return false
	}
	var st sys.Stat_t
	err := sys.Fstatat(sys.AT_FDCWD, p.path, &st, sys.AT_SYMLINK_NOFOLLOW|sys.AT_NO_AUTOMOUNT)
	return err == nil && st.Dev == p.file.dev && st.Ino == p.file.ino
}

// Close releases the file.
func (p *program) Close() error {
	if p.fd < 0 {
		return nil
	}
	return sys.Close(p.fd)
}
