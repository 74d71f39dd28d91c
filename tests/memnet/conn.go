package memnet

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much may be on its way in one direction; more waits.
const window = 1 << 20

// flow is one direction of a connection.
type flow struct {
	link  link
	bytes []byte // sent and not read
	ended bool   // nothing more will be sent
	gone  bool   // whoever should read it has closed
}

// conn is one end of a connection. All of it is guarded by the network's lock.
type conn struct {
	network     *Network
	peer        *conn      // the other end
	moved       *sync.Cond // something that this end may wait for
	here, there netip.AddrPort
	in, out     *flow
	closed      bool
	read, write deadline
}

// deadline is when an end waits no longer.
type deadline struct {
	at    time.Time // zero: never
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// pair connects two addresses.
func (n *Network) pair(a, b netip.AddrPort) (*conn, *conn) {
	there, back := &flow{link: link{a.Addr(), b.Addr()}}, &flow{link: link{b.Addr(), a.Addr()}}
	near := &conn{network: n, moved: sync.NewCond(&n.mu), here: a, there: b, in: back, out: there}
	far := &conn{network: n, moved: sync.NewCond(&n.mu), here: b, there: a, in: there, out: back}
	near.peer, far.peer = far, near
	n.conns[near], n.conns[far] = struct{}{}, struct{}{}
	return near, far
}

func (c *conn) Read(p []byte) (int, error) {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.failed("read", net.ErrClosed)
		case c.read.passed():
			return 0, c.failed("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case c.network.cut[c.in.link]:
		case len(c.in.bytes) > 0:
			n := copy(p, c.in.bytes)
			if c.in.bytes = c.in.bytes[n:]; len(c.in.bytes) == 0 {
				c.in.bytes = nil // what was read is given back
			}
			c.peer.moved.Broadcast()
			return n, nil
		case c.in.ended:
			return 0, io.EOF
		}
		c.moved.Wait()
	}
}

func (c *conn) Write(p []byte) (sent int, err error) {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	for {
		switch {
		case c.closed:
			return sent, c.failed("write", net.ErrClosed)
		case c.write.passed():
			return sent, c.failed("write", os.ErrDeadlineExceeded)
		case c.out.gone && !c.network.cut[c.in.link]: // this end has heard of it
			return sent, c.failed("write", os.NewSyscallError("write", syscall.EPIPE))
		}
		if room := window - len(c.out.bytes); room > 0 {
			n := min(room, len(p)-sent)
			c.out.bytes = append(c.out.bytes, p[sent:sent+n]...)
			sent += n
			c.peer.moved.Broadcast()
		}
		if sent == len(p) {
			return sent, nil
		}
		c.moved.Wait()
	}
}

// Close ends both directions. What was written before arrives, and the end
// after it.
func (c *conn) Close() error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if c.closed {
		return c.failed("close", net.ErrClosed)
	}
	c.close()
	return nil
}

func (c *conn) close() {
	c.closed, c.out.ended, c.in.gone = true, true, true
	for _, d := range []*deadline{&c.read, &c.write} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	delete(c.network.conns, c)
	c.moved.Broadcast()
	c.peer.moved.Broadcast()
}

func (c *conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func (c *conn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.here) }
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.there) }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.until(&c.read, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.until(&c.write, t) }

func (c *conn) until(d *deadline, t time.Time) error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if c.closed {
		return c.failed("set", net.ErrClosed)
	}
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.timer = t, nil
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, c.wake)
	}
	c.moved.Broadcast()
	return nil
}

func (c *conn) wake() {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.moved.Broadcast()
}
