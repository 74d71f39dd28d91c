package unix

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	sys "golang.org/x/sys/unix"
)

// maxPathBytes is what a socket address holds besides its closing zero.
const maxPathBytes = 107

// backlog is the queue of connections not yet accepted. The kernel lowers it to
// net.core.somaxconn; a full one makes connect wait, or fail with EAGAIN.
const backlog = 4096

// Listener accepts connections on a socket in the file system and knows, of
// each, the process that made it.
type Listener struct {
	*net.UnixListener
	path string
	node fs.FileInfo // the socket's own node, so that Close removes no other
	open pidfdOpener
}

// Listen makes a socket at path with exactly the permissions of mode, whatever
// the umask is; nobody can connect before it has them. The directory must
// exist. A socket at path on which nobody answers is left over from an earlier
// process and is replaced; anything else there is an error, and is left alone.
// Two processes that start at the same moment must be kept apart by a lock.
func Listen(path string, mode os.FileMode) (*Listener, error) {
	if err := supported(); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := bind(path, mode.Perm())
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// supported says what this host lacks to tell processes apart.
func supported() error {
	fd, err := sys.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return fmt.Errorf("process descriptors do not work here, Linux 5.3 or newer is needed: %w", err)
	}
	sys.Close(fd)
	self, err := os.Readlink("/proc/self")
	if err != nil {
		return fmt.Errorf("callers cannot be observed without /proc: %w", err)
	}
	if self != strconv.Itoa(os.Getpid()) {
		return fmt.Errorf("/proc shows another PID namespace (there this process is %s, here %d): mount a fresh proc there", self, os.Getpid())
	}
	return nil
}

func checkPath(path string) error {
	switch {
	case path == "":
		return errors.New("listen on a socket: its path is empty")
	case strings.HasPrefix(path, "@"), strings.ContainsRune(path, 0):
		return fmt.Errorf("listen on %q: a socket outside of the file system has no permissions; give a path", path)
	case len(path) > maxPathBytes:
		return fmt.Errorf("listen on %s: the path has %d bytes, a socket's has at most %d: choose a shorter data directory", path, len(path), maxPathBytes)
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("listen on %s: make its directory first: %w", path, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("listen on %s: %s is not a directory", path, dir)
	}
	return nil
}

// removeStale removes the socket of a process that is gone.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen on %s: something that is not a socket is there: move it away, or choose another path", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("listen on %s: another process answers there: stop it, or choose another path", path)
	}
	if !errors.Is(err, sys.ECONNREFUSED) {
		return fmt.Errorf("listen on %s: cannot tell whether another process uses it: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("listen on %s: remove the socket of an earlier process: %w", path, err)
	}
	return nil
}

// bind gives the socket its mode between bind and listen: until listen,
// connect is refused.
func bind(path string, mode os.FileMode) (*Listener, error) {
	fd, err := sys.Socket(sys.AF_UNIX, sys.SOCK_STREAM|sys.SOCK_CLOEXEC|sys.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer sys.Close(fd) // the listener has its own
	if err := sys.Bind(fd, &sys.SockaddrUnix{Name: path}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	l, err := start(fd, path, mode)
	if err != nil {
		os.Remove(path)
		return nil, err
	}
	return l, nil
}

func start(fd int, path string, mode os.FileMode) (*Listener, error) {
	if err := os.Chmod(path, mode); err != nil {
		return nil, err
	}
	node, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := sys.Listen(fd, backlog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	own, err := sys.FcntlInt(uintptr(fd), sys.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(own), path)
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	return &Listener{UnixListener: l.(*net.UnixListener), path: path, node: node, open: peerPidfd}, nil
}

// Accept waits for the next connection and returns it as a *Conn. Of a caller
// that cannot be known, or that has ended already, the connection's Process
// says so.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return newConn(conn, l.open), nil
}

// Close stops accepting and removes the socket, unless another one has taken
// its place. Accepted connections stay.
func (l *Listener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.node) {
		os.Remove(l.path)
	}
	return l.UnixListener.Close()
}
