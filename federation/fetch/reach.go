package fetch

import (
	"fmt"
	"net/netip"
)

// reach is how private an address is. A fetch may go to the class of the
// configured host and to less private ones, never to a more private one.
type reach uint8

const (
	reachPublic reach = iota + 1
	reachPrivate
	reachLoopback
	// reachNever is refused whatever was configured: link-local addresses,
	// where clouds keep the credentials of their machines, and addresses that
	// are not one host.
	reachNever
)

func (r reach) String() string {
	switch r {
	case reachPublic:
		return "public"
	case reachPrivate:
		return "private"
	case reachLoopback:
		return "loopback"
	}
	return "forbidden"
}

// metadata are the addresses outside the link-local networks at which clouds
// answer their own machines.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"),    // Alibaba Cloud
	netip.MustParseAddr("168.63.129.16"),      // Azure's host
	netip.MustParseAddr("192.0.0.192"),        // Oracle Cloud Classic
	netip.MustParseAddr("fd00:ec2::254"),      // AWS
	netip.MustParseAddr("fd00:c1::a9fe:a9fe"), // Oracle Cloud
	netip.MustParseAddr("fd20:ce::254"),       // Google Cloud
	netip.MustParseAddr("fd00:42::42"),        // Scaleway
}

// never are the networks that no fetch enters.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),      // this host, this network
	netip.MustParsePrefix("169.254.0.0/16"), // link-local, metadata
	netip.MustParsePrefix("224.0.0.0/4"),    // multicast
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved, broadcast
	netip.MustParsePrefix("fe80::/10"),      // link-local
	netip.MustParsePrefix("ff00::/8"),       // multicast
	netip.MustParsePrefix("2001::/32"),      // Teredo: the host behind it is not in the address's clear
	netip.MustParsePrefix("64:ff9b:1::/48"), // local-use NAT64: the embedded host's place is unknown
	netip.MustParsePrefix("::/96"),          // IPv4-compatible, unspecified; ::1 is told apart before
}

// private are the networks of organizations.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), // shared address space
	netip.MustParsePrefix("192.0.0.0/24"),  // protocol assignments
	netip.MustParsePrefix("198.18.0.0/15"), // benchmarking
	netip.MustParsePrefix("fc00::/7"),      // unique local
	netip.MustParsePrefix("fec0::/10"),     // site-local
}

var (
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixToV4 = netip.MustParsePrefix("2002::/16")
)

// reachOf returns the class of addr. An IPv6 address that carries an IPv4
// address through a translator or a tunnel has that address's class.
func reachOf(addr netip.Addr) reach {
	if !addr.IsValid() || addr.Zone() != "" {
		return reachNever
	}
	addr = embedded(addr.Unmap())
	switch {
	case addr.IsLoopback():
		return reachLoopback
	case contains(never, addr):
		return reachNever
	}
	for _, m := range metadata {
		if addr == m {
			return reachNever
		}
	}
	if contains(private, addr) {
		return reachPrivate
	}
	return reachPublic
}

// embedded returns the IPv4 address inside a NAT64 or 6to4 address, and any
// other address as it is.
func embedded(addr netip.Addr) netip.Addr {
	b := addr.As16()
	switch {
	case nat64.Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToV4.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return addr
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// admits says why a fetch whose configured host is of class most may not go
// to addr. Nil: it may.
func (d *dialer) admits(addr netip.Addr, most reach) error {
	class := reachOf(addr)
	switch {
	case class == reachNever:
		return fmt.Errorf("%s is a link-local, metadata or reserved address, where no bundle endpoint may be", addr)
	case contains(d.deny, addr.Unmap()), contains(d.deny, embedded(addr.Unmap())):
		return fmt.Errorf("%s is in a network that federation.deny-networks closes", addr)
	case class > most:
		return fmt.Errorf("%s is a %s address, and the configured host is %s: no redirect and no changed DNS answer leads to a more private place; if the endpoint moved there on purpose, save the relationship again", addr, class, most)
	}
	return nil
}
