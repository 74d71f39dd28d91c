package node

import (
	"net"
	"net/netip"
)

// advertised is where other members reach this node's raft port: what was
// configured, or where it listens, or, if that is every address of this machine,
// the first one that others can use.
func (n *Node) advertised() string {
	if n.config.AdvertiseRaft != "" {
		return n.config.AdvertiseRaft
	}
	bound, err := netip.ParseAddrPort(n.doors.raft.Addr().String())
	if err != nil || !bound.Addr().IsUnspecified() {
		return n.doors.raft.Addr().String()
	}
	return netip.AddrPortFrom(reachable(), bound.Port()).String()
}

// reachable is an address of this machine that is neither loopback nor
// link-local; loopback if it has none.
func reachable() netip.Addr {
	best := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return best
	}
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		if prefix.Addr().Is4() {
			return prefix.Addr()
		}
		if best.IsLoopback() {
			best = prefix.Addr()
		}
	}
	return best
}
