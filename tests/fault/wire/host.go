package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// ErrNotAllowed means that this user, or this machine, makes no network namespaces.
var ErrNotAllowed = errors.New("network namespaces and TUN interfaces are not allowed here: this needs root, or CAP_SYS_ADMIN and CAP_NET_ADMIN, and /dev/net/tun")

// Host is a machine on the wire: a network namespace with one address, and the
// loopback of its own.
type Host struct {
	Addr netip.Addr

	space  *os.File // keeps the namespace
	tun    *os.File
	starts chan func() // done by the thread that has made the namespace
}

// newHost makes the namespace. The thread that does starts the host's programs,
// which so may end with it, and goes when the host goes: its namespace is not
// the machine's any more.
func newHost(address netip.Addr) (*Host, error) {
	h := &Host{Addr: address, starts: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		made <- h.make()
		for start := range h.starts {
			start()
		}
	}()
	if err := <-made; err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

func (h *Host) make() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	var err error
	if h.space, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())); err != nil {
		return err
	}
	if h.tun, err = openTUN("wire"); err != nil {
		return err
	}
	return errors.Join(bringUp("lo", netip.MustParseAddr("127.0.0.1"), 8), bringUp("wire", h.Addr, network.Bits()))
}

// receive gives the host a packet. One that its interface has no room for is
// lost, as on any wire.
func (h *Host) receive(packet []byte) { _, _ = h.tun.Write(packet) }

func (h *Host) close() (err error) {
	close(h.starts)
	for _, f := range []*os.File{h.tun, h.space} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// Start starts a program on the host. With Pdeathsig it ends with this process.
func (h *Host) Start(cmd *exec.Cmd) error {
	started := make(chan error)
	h.starts <- func() { started <- cmd.Start() }
	return <-started
}

// within runs do on a thread that is in the host's namespace: sockets that it
// opens are the host's.
func (h *Host) within(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // see newHost
		if err := unix.Setns(int(h.space.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the network namespace of %s: %w", h.Addr, err)
			return
		}
		done <- do()
	}()
	return <-done
}

// Dial opens a connection from the host.
func (h *Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.within(func() (err error) {
		conn, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens on a port of the host's address; 0 for any.
func (h *Host) Listen(port uint16) (listener net.Listener, err error) {
	err = h.within(func() (err error) {
		listener, err = net.Listen("tcp4", netip.AddrPortFrom(h.Addr, port).String())
		return err
	})
	return listener, err
}
