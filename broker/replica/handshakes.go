package replica

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// handshakes are the callers of the raft port that have not shown yet who they
// are. When there is no room for one more, the one goes that has been at it longest,
// of the network that has most of them: whoever can show who he is does so within
// a moment, and is not kept out by callers who never do.
type handshakes struct {
	room int

	mu      sync.Mutex
	waiting []*handshake // the longest first
	evicted int          // since they were last counted
}

// handshake is one that is not over.
type handshake struct {
	conn net.Conn
	from netip.Prefix
}

// begin takes conn in, and closes another one if there is no room.
func (h *handshakes) begin(conn net.Conn) *handshake {
	in := &handshake{conn, network(conn.RemoteAddr())}
	h.mu.Lock()
	var out *handshake
	if len(h.waiting) >= h.room {
		out = h.longest()
		h.evicted++
	}
	h.waiting = append(h.waiting, in)
	h.mu.Unlock()
	if out != nil {
		_ = out.conn.Close() // whose handshake it is finds it closed
	}
	return in
}

// longest takes out the oldest of the network that has most; h.mu is held.
func (h *handshakes) longest() *handshake {
	count, most := map[netip.Prefix]int{}, 0
	for _, w := range h.waiting {
		count[w.from]++
		most = max(most, count[w.from])
	}
	i := slices.IndexFunc(h.waiting, func(w *handshake) bool { return count[w.from] == most })
	out := h.waiting[i]
	h.waiting = slices.Delete(h.waiting, i, i+1)
	return out
}

// end takes in out again. It reports false if it had to make room.
func (h *handshakes) end(in *handshake) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.Index(h.waiting, in)
	if i < 0 {
		return false
	}
	h.waiting = slices.Delete(h.waiting, i, i+1)
	return true
}

// count returns how many had to make room since it was last called.
func (h *handshakes) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.evicted
	h.evicted = 0
	return n
}

// network is what one caller can have many addresses of: an IPv4 address, or
// the first half of an IPv6 one.
func network(address net.Addr) netip.Prefix {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	prefix, err := ip.Prefix(bits)
	if err != nil { // it is no IP address
		return netip.Prefix{}
	}
	return prefix
}
