package unix_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"google.golang.org/grpc"

	"github.com/concord-id/concord/attest/process/unix"
)

// crowd forks n processes, one after the other, that connect to socket and die.
func crowd(socket string, n int) error {
	address := syscall.RawSockaddrUnix{Family: syscall.AF_UNIX}
	for i, b := range []byte(socket) {
		address.Path[i] = int8(b)
	}
	for range n {
		pid, errno := connectAndDie(&address)
		if errno != 0 {
			return errno
		}
		var status syscall.WaitStatus
		for {
			_, err := syscall.Wait4(pid, &status, 0, nil)
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.EINTR) {
				return err
			}
		}
		if status.ExitStatus() != 0 {
			return fmt.Errorf("a child could not connect: %w", syscall.Errno(status.ExitStatus()))
		}
	}
	return nil
}

// connectAndDie forks without exec, which costs too much to do it 100,000
// times. The child has one thread and no scheduler: raw system calls only.
//
//go:norace
//go:nosplit
func connectAndDie(address *syscall.RawSockaddrUnix) (pid int, errno syscall.Errno) {
	id, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || id != 0 {
		return int(id), errno
	}
	fd, _, errno := syscall.RawSyscall(syscall.SYS_SOCKET, syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	for errno == 0 {
		_, _, errno = syscall.RawSyscall(syscall.SYS_CONNECT, fd, uintptr(unsafe.Pointer(address)), unsafe.Sizeof(*address))
		if errno == 0 {
			break
		}
		if errno == syscall.EINTR {
			errno = 0
		}
	}
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(errno), 0, 0)
	}
}

// counted is a listener that knows how many of its connections are open.
type counted struct {
	*unix.Listener
	mu   sync.Mutex
	none *sync.Cond // nothing is open
	seen int
	open int
}

func count(l *unix.Listener) *counted {
	c := &counted{Listener: l}
	c.none = sync.NewCond(&c.mu)
	return c
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen++
	c.open++
	return &countedConn{Conn: conn.(*unix.Conn), from: c}, nil
}

// countedConn also shows that a wrapped connection keeps its peer.
type countedConn struct {
	*unix.Conn
	from *counted
	once sync.Once
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.from.mu.Lock()
		defer c.from.mu.Unlock()
		if c.from.open--; c.from.open == 0 {
			c.from.none.Broadcast()
		}
	})
	return err
}

// wait returns how many connections there were once n were, and none is open.
func (c *counted) wait(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.seen < n || c.open > 0 {
		c.none.Wait()
	}
}

// descriptors counts those of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func TestConnectAndDieLeavesDescriptorsFlat(t *testing.T) {
	people := 2_000
	if os.Getenv("CONCORD_CROWD") == "full" {
		people = 100_000
	}
	l, socket := listen(t)
	counting := count(l)
	server := grpc.NewServer(grpc.Creds(unix.Credentials()))
	served := make(chan error, 1)
	go func() { served <- server.Serve(counting) }()
	a := start(t, "/proc/self/exe", nil)

	a.do("crowd %s %d", socket, 10) // whatever is opened once is open now
	counting.wait(10)
	before := descriptors(t)
	a.do("crowd %s %d", socket, people)
	counting.wait(10 + people)
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before %d callers, %d after", before, people, after)
	}
	server.Stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
