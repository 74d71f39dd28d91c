// Package memnet is a network in memory between hosts, each with an address of its
// own, whose links a test cuts and heals, each direction by itself. Nothing is
// lost on it: what is sent over a link that is cut arrives when it is healed, as
// TCP would send it again. All that waits on it waits durably, so it works in a
// synctest bubble.
package memnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// Network is the network. The zero value has no hosts and no cuts.
type Network struct {
	mu        sync.Mutex
	changed   *sync.Cond // listeners, who waits at them, or cuts; its lock is mu
	listeners map[netip.AddrPort]*listener
	conns     map[*conn]struct{} // those that are not closed
	cut       map[link]bool
	port      uint16 // the last that was given out
}

// link is one direction between two hosts.
type link struct{ from, to netip.Addr }

// New returns a network without hosts.
func New() *Network {
	n := &Network{listeners: map[netip.AddrPort]*listener{}, conns: map[*conn]struct{}{}, cut: map[link]bool{}, port: 40000}
	n.changed = sync.NewCond(&n.mu)
	return n
}

// Host is a host of the network, as those see it who are on it.
type Host struct {
	network *Network
	addr    netip.Addr
}

// Host returns the host with an IP address.
func (n *Network) Host(ip string) *Host { return &Host{n, netip.MustParseAddr(ip)} }

// Cut lets nothing pass from one host to another until it is healed.
func (n *Network) Cut(from, to *Host) { n.set(from, to, true) }

// Heal lets everything pass from one host to another.
func (n *Network) Heal(from, to *Host) { n.set(from, to, false) }

// Drop ends all connections of a host, as when its power fails: what was on its way
// from or to it is lost.
func (n *Network) Drop(h *Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if c.here.Addr() == h.addr || c.there.Addr() == h.addr {
			c.in.bytes, c.in.ended, c.out.gone = nil, true, true
			c.moved.Broadcast()
		}
	}
}

func (n *Network) set(from, to *Host, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[link{from.addr, to.addr}] = cut
	n.changed.Broadcast()
	for c := range n.conns {
		c.moved.Broadcast()
	}
}

// Listen listens on a port of the host; port 0 is any free one. The host's own
// address is used whatever address says.
func (h *Host) Listen(address string) (net.Listener, error) {
	wanted, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	at := netip.AddrPortFrom(h.addr, wanted.Port())
	if wanted.Port() == 0 {
		n.port++
		at = netip.AddrPortFrom(h.addr, n.port)
	}
	if n.listeners[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l := &listener{network: n, at: at}
	n.listeners[at] = l
	return l, nil
}

// Dial connects the host to a listener. While a link between the two is cut it
// waits, until ctx ends.
func (h *Host) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	failed := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	n := h.network
	defer context.AfterFunc(ctx, n.wake)()
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.cut[link{h.addr, to.Addr()}] || n.cut[link{to.Addr(), h.addr}] {
		if ctx.Err() != nil {
			return failed(ctx.Err())
		}
		n.changed.Wait()
	}
	l := n.listeners[to]
	if l == nil {
		return failed(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	n.port++
	here, there := n.pair(netip.AddrPortFrom(h.addr, n.port), to)
	l.waiting = append(l.waiting, there)
	n.changed.Broadcast()
	return here, nil
}

func (n *Network) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changed.Broadcast()
}

// listener is a port that is open.
type listener struct {
	network *Network
	at      netip.AddrPort
	waiting []*conn // not accepted yet
	closed  bool
}

func (l *listener) Accept() (net.Conn, error) {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	for len(l.waiting) == 0 && !l.closed {
		l.network.changed.Wait()
	}
	if l.closed {
		return nil, net.ErrClosed
	}
	next := l.waiting[0]
	l.waiting = l.waiting[1:]
	return next, nil
}

func (l *listener) Close() error {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.closed = true
	delete(l.network.listeners, l.at)
	for _, never := range l.waiting {
		never.close()
	}
	l.network.changed.Broadcast()
	return nil
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }
