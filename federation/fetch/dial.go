package fetch

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Resolver finds the addresses of a host. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// DialFunc opens a connection to address, which is always "IP:port": no name is
// resolved after its addresses were judged.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// maxAddresses bounds how many addresses of one host are tried; a DNS answer
// may hold thousands.
const maxAddresses = 8

// dialer opens connections to where a fetch may go.
type dialer struct {
	resolver Resolver
	dial     DialFunc
	deny     []netip.Prefix
	timeout  time.Duration // for the name and all its addresses together
}

// connect opens a connection to host, which is a name or an IP literal. Its
// addresses may be of class most or less private. If most is 0 the host is the
// configured one and its most public address decides; the class is returned,
// 0 while it is not known.
func (d *dialer) connect(ctx context.Context, host, port string, most reach) (net.Conn, reach, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, most, err
	}
	bound := cmp.Or(most, mostPublic(addrs))
	allowed, err := d.allowed(host, addrs, bound)
	if err != nil {
		return nil, most, err
	}
	conn, err := d.first(ctx, allowed, port)
	return conn, bound, err
}

func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := d.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, resolveError(host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("DNS has no address for %s: check the host in the URL", host)
	}
	return addrs, nil
}

// mostPublic returns the least private class among addrs that may be entered at
// all. A name that answers with public and private addresses at once is public:
// its private ones are then refused.
func mostPublic(addrs []netip.Addr) reach {
	most := reachNever
	for _, a := range addrs {
		most = min(most, reachOf(a))
	}
	return most
}

// allowed returns the addresses that a fetch may go to. If there is none, the
// error says why the first was refused.
func (d *dialer) allowed(host string, addrs []netip.Addr, most reach) ([]netip.Addr, error) {
	var ok []netip.Addr
	var refused error
	for _, a := range addrs {
		err := d.admits(a, most)
		switch {
		case err == nil && len(ok) < maxAddresses:
			ok = append(ok, a.Unmap())
		case err != nil && refused == nil:
			refused = err
		}
	}
	if len(ok) == 0 {
		return nil, fmt.Errorf("refused to connect to %s: %w", host, refused)
	}
	return ok, nil
}

// first connects to the first address that answers. The time left is divided
// among the addresses left, so that one black hole does not use all of it.
func (d *dialer) first(ctx context.Context, addrs []netip.Addr, port string) (net.Conn, error) {
	deadline, _ := ctx.Deadline()
	var failures []string
	for i, a := range addrs {
		share := time.Until(deadline) / time.Duration(len(addrs)-i)
		target := net.JoinHostPort(a.String(), port)
		attempt, cancel := context.WithTimeout(ctx, share)
		conn, err := d.dial(attempt, "tcp", target)
		cancel()
		if err == nil {
			return conn, nil
		}
		failures = append(failures, connectError(target, share, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("%s: check that the peer's endpoint runs and that a firewall lets this node through", strings.Join(failures, "; "))
}
