package fetch_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/concord-id/concord/federation/fetch"
)

// hosts is a Resolver: the addresses of each name; "*" answers for every other.
type hosts map[string][]string

func (h hosts) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	texts, ok := h[host]
	if !ok {
		texts, ok = h["*"]
	}
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var addrs []netip.Addr
	for _, text := range texts {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

// liar is a Resolver whose answer a test changes.
type liar struct {
	mu  sync.Mutex
	now hosts
}

func (l *liar) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now.LookupNetIP(ctx, network, host)
}

func (l *liar) say(h hosts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = h
}

// internet is a DialFunc: connections to any address of a listener's port end
// at that listener on loopback, and where they were meant to go is recorded.
type internet struct {
	mu    sync.Mutex
	asked []netip.Addr
}

func (i *internet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, errors.New("a name was dialled")
	}
	i.mu.Lock()
	i.asked = append(i.asked, target.Addr())
	i.mu.Unlock()
	return (&net.Dialer{}).DialContext(ctx, network, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), target.Port()).String())
}

// visited returns the addresses that were dialled since the last call.
func (i *internet) visited() []netip.Addr {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.asked
	i.asked = nil
	return all
}

const publicAddr = "203.0.113.7"

func TestWhereAFetchNeverGoes(t *testing.T) {
	for name, addr := range map[string]string{
		"cloud metadata":              "169.254.169.254",
		"link-local":                  "169.254.0.1",
		"link-local of IPv6":          "fe80::1",
		"metadata of AWS in IPv6":     "fd00:ec2::254",
		"metadata of Google in IPv6":  "fd20:ce::254",
		"metadata of Alibaba":         "100.100.100.200",
		"Azure's host":                "168.63.129.16",
		"IPv4 inside IPv6":            "::ffff:169.254.169.254",
		"IPv4 behind NAT64":           "64:ff9b::a9fe:a9fe",
		"IPv4 behind 6to4":            "2002:a9fe:a9fe::1",
		"IPv4 behind Teredo":          "2001:0:1::1",
		"IPv4-compatible":             "::169.254.169.254",
		"this host":                   "0.0.0.0",
		"this host in IPv6":           "::",
		"everybody":                   "255.255.255.255",
		"multicast":                   "224.0.0.1",
		"multicast of IPv6":           "ff02::1",
		"reserved":                    "240.0.0.1",
		"a network that is closed":    "198.51.100.9",
		"the same inside IPv6":        "::ffff:198.51.100.9",
		"the same behind NAT64":       "64:ff9b::c633:6409",
		"a network closed within /64": "2001:db8:1::9",
	} {
		t.Run(name, func(t *testing.T) {
			bank := newAuthority(t, "bank.example")
			wire := &internet{}
			options := fetch.Options{
				Resolver:     hosts{"bank.example": {addr}},
				Dial:         wire.dial,
				DenyNetworks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:1::/64")},
			}
			l := newLedger()
			l.relate(web(bank.td, "https://bank.example/", nil))
			pool := run(t, l, options)
			failing(t, pool, bank.td, "refused to connect to bank.example")
			l.relate(web(bank.td, "https://"+net.JoinHostPort(addr, "443")+"/", nil))
			failing(t, pool, bank.td, "refused to connect to")
			if v := wire.visited(); len(v) > 0 {
				t.Errorf("dialled %v", v)
			}
		})
	}
}

// classes are addresses from public to ever more private.
var classes = [][]string{
	{publicAddr, "2001:db8::1"},
	{"10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "198.18.0.1"},
	{"127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "2002:7f00:1::1"},
}

func TestARedirectNeverLeadsToAMorePrivatePlace(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	for from, configured := range classes {
		for to, targets := range classes {
			for _, target := range targets {
				t.Run(configured[0]+" to "+target, func(t *testing.T) {
					wire := &internet{}
					inner := newPeer(t, ca.web(), honest(t, bank, 2))
					outer := newPeer(t, ca.web(), redirect(onHost(inner.url, "www.example")))
					l := newLedger()
					l.relate(web(bank.td, onHost(outer.url, "bank.example"), ca))
					pool := run(t, l, fetch.Options{Dial: wire.dial, Resolver: hosts{"bank.example": configured[:1], "www.example": {target}}})
					if to <= from {
						succeeding(t, pool, bank.td)
						return
					}
					failing(t, pool, bank.td, "refused to connect to www.example", "no redirect")
					if slices.Contains(wire.visited(), netip.MustParseAddr(target).Unmap()) {
						t.Error("it was dialled")
					}
				})
			}
		}
	}
}

func TestAChangedDNSAnswerNeverLeadsToAMorePrivatePlace(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	p := newPeer(t, ca.web(), honest(t, bank, 2))
	dns, wire := &liar{now: hosts{"bank.example": {publicAddr}}}, &internet{}
	l := newLedger()
	l.relate(web(bank.td, onHost(p.url, "bank.example"), ca))
	pool := run(t, l, fetch.Options{Resolver: dns, Dial: wire.dial, Limits: fetch.Limits{KeepUpTo: time.Nanosecond}})
	succeeding(t, pool, bank.td)
	wire.visited()

	for _, addr := range []string{"127.0.0.1", "10.0.0.1", "::1", "169.254.169.254"} {
		dns.say(hosts{"bank.example": {addr}})
		failing(t, pool, bank.td, "refused to connect to bank.example")
		if v := wire.visited(); len(v) > 0 {
			t.Errorf("dialled %v", v)
		}
	}
	// Among several only the one that may be is used.
	dns.say(hosts{"bank.example": {"127.0.0.1", "169.254.169.254", publicAddr}})
	succeeding(t, pool, bank.td)
	if v := wire.visited(); !slices.Equal(v, []netip.Addr{netip.MustParseAddr(publicAddr)}) {
		t.Errorf("dialled %v", v)
	}
	// A person who saves the relationship again says that it moved on purpose.
	dns.say(hosts{"bank.example": {"127.0.0.1"}})
	l.relate(web(bank.td, onHost(p.url, "bank.example"), ca))
	succeeding(t, pool, bank.td)
}

func TestANameThatIsPublicAndPrivateIsPublic(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	p := newPeer(t, ca.web(), honest(t, bank, 2))
	wire := &internet{}
	l := newLedger()
	l.relate(web(bank.td, onHost(p.url, "bank.example"), ca))
	succeeding(t, run(t, l, fetch.Options{Dial: wire.dial, Resolver: hosts{"bank.example": {"127.0.0.1", publicAddr}}}), bank.td)
	for _, a := range wire.visited() {
		if a != netip.MustParseAddr(publicAddr) {
			t.Errorf("dialled %v", a)
		}
	}
}

func TestTheNextAddressIsTriedWhenOneIsDead(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	p := newPeer(t, ca.web(), honest(t, bank, 2))
	wire := &internet{}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if netip.MustParseAddrPort(address).Addr() == netip.MustParseAddr("2001:db8::1") {
			<-ctx.Done() // a black hole
			return nil, ctx.Err()
		}
		return wire.dial(ctx, network, address)
	}
	l := newLedger()
	l.relate(web(bank.td, onHost(p.url, "bank.example"), ca))
	succeeding(t, run(t, l, fetch.Options{Dial: dial, Limits: fetch.Limits{Connect: 200 * time.Millisecond},
		Resolver: hosts{"bank.example": {"2001:db8::1", publicAddr}}}), bank.td)
}
