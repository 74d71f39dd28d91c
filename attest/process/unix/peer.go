package unix

import (
	"errors"
	"fmt"
	"net"
	"os"

	sys "golang.org/x/sys/unix"

	"github.com/concord-id/concord/attest"
)

// Conn is an accepted connection and the process that made it.
type Conn struct {
	*net.UnixConn
	process attest.Process
	pidfd   *os.File // nil if the peer could not be known
}

// Process returns the process that called connect, with the effective user and
// group that it had then. Its Alive may be called by several goroutines at
// once; it fails after Close. A peer that could not be known has PID 0 and an
// Alive that says why.
func (c *Conn) Process() attest.Process { return c.process }

// Close closes the connection and the descriptor of its peer.
func (c *Conn) Close() error {
	if c.pidfd != nil {
		c.pidfd.Close()
	}
	return c.UnixConn.Close()
}

func newConn(conn *net.UnixConn, open pidfdOpener) *Conn {
	c := &Conn{UnixConn: conn}
	if err := c.identify(open); err != nil {
		c.process = attest.Process{Alive: func() error { return err }}
	}
	return c
}

// identify asks the kernel for the peer.
func (c *Conn) identify(open pidfdOpener) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("identify the caller: %w", err)
	}
	var cred *sys.Ucred
	var fd int
	failed := raw.Control(func(socket uintptr) {
		cred, err = sys.GetsockoptUcred(int(socket), sys.SOL_SOCKET, sys.SO_PEERCRED)
		switch {
		case err != nil:
			err = fmt.Errorf("identify the caller: %w", os.NewSyscallError("SO_PEERCRED", err))
		case cred.Pid <= 0:
			err = errors.New("the caller's process is not visible from here: it lives in another PID namespace")
		default:
			fd, err = open(int(socket), int(cred.Pid))
		}
	})
	if err := errors.Join(failed, err); err != nil {
		return err
	}
	c.pidfd = os.NewFile(uintptr(fd), "pidfd")
	c.process = attest.Process{PID: cred.Pid, UID: cred.Uid, GID: cred.Gid, Alive: c.alive}
	return c.alive()
}

// alive asks the process descriptor, which becomes readable at the exit of the
// process, before its PID can be given to another one.
func (c *Conn) alive() error {
	raw, err := c.pidfd.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch process %d: %w", c.process.PID, err)
	}
	var ended bool
	failed := raw.Control(func(fd uintptr) { ended, err = readable(int(fd)) })
	switch {
	case failed != nil:
		return fmt.Errorf("watch process %d: its connection is closed: %w", c.process.PID, failed)
	case err != nil:
		return fmt.Errorf("watch process %d: %w", c.process.PID, os.NewSyscallError("poll", err))
	case ended:
		return fmt.Errorf("process %d has ended: %w", c.process.PID, attest.ErrProcessLost)
	}
	return nil
}

func readable(fd int) (bool, error) {
	for {
		polled := []sys.PollFd{{Fd: int32(fd), Events: sys.POLLIN}}
		n, err := sys.Poll(polled, 0)
		if err != sys.EINTR {
			return n > 0, err
		}
	}
}

// A pidfdOpener returns a descriptor of the process at the other end of socket,
// whose PID is pid.
type pidfdOpener func(socket, pid int) (fd int, err error)

// peerPidfd takes the descriptor that the kernel remembered at connect, if it
// does that (Linux 6.5).
func peerPidfd(socket, pid int) (int, error) {
	fd, err := sys.GetsockoptInt(socket, sys.SOL_SOCKET, sys.SO_PEERPIDFD)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, sys.ENOPROTOOPT):
		return openPidfd(socket, pid)
	case errors.Is(err, sys.ESRCH), errors.Is(err, sys.EINVAL), errors.Is(err, sys.ENODATA):
		return 0, fmt.Errorf("process %d ended before its connection was accepted: %w", pid, attest.ErrProcessLost)
	}
	return 0, fmt.Errorf("watch process %d: %w", pid, os.NewSyscallError("SO_PEERPIDFD", err))
}

// openPidfd opens the descriptor by PID.
func openPidfd(_, pid int) (int, error) {
	fd, err := sys.PidfdOpen(pid, 0)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, sys.ESRCH), errors.Is(err, sys.EINVAL):
		return 0, fmt.Errorf("process %d ended before its connection was accepted: %w", pid, attest.ErrProcessLost)
	}
	return 0, fmt.Errorf("watch process %d: %w", pid, os.NewSyscallError("pidfd_open", err))
}
