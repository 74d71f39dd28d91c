// Package wire is a network of this process's own. Each host is a network
// namespace with one interface, and every packet between hosts goes through
// this process, which loses it, delays it, overtakes it with a later one or
// lets it through, in each direction apart. Nothing of it touches the machine's
// network, and nothing of it stays.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// network is where all hosts are.
var network = netip.MustParsePrefix("10.77.0.0/24")

// packetBytes is the longest packet. Long ones cost fewer wake-ups.
const packetBytes = 9000

// Rule is what happens to packets of one direction between two hosts.
type Rule struct {
	Cut    bool          // none comes through
	Loss   float64       // the share that is lost, 0 to 1
	Delay  time.Duration // that each takes
	Jitter time.Duration // that each may take more: packets overtake one another
	Rate   int           // bytes a second; 0: as fast as it goes
}

// queueTime is the longest that a packet waits for a slow link before it is lost.
const queueTime = 2 * time.Second

// Wire connects hosts.
type Wire struct {
	mu     sync.Mutex
	random *rand.Rand
	hosts  map[netip.Addr]*Host
	links  map[[2]netip.Addr][]*link
	closed bool

	readers sync.WaitGroup
}

// link is a rule for one direction between two hosts.
type link struct {
	rule Rule
	free time.Time // when a slow link has sent what it has
}

// New returns a network without hosts. Which packets are lost is random's.
func New(random *rand.Rand) *Wire {
	return &Wire{random: random, hosts: map[netip.Addr]*Host{}, links: map[[2]netip.Addr][]*link{}}
}

// Host adds the host with this last byte of its address, 1 to 254. The error is
// ErrNotAllowed where this user may not make network namespaces.
func (w *Wire) Host(number byte) (*Host, error) {
	address := network.Addr().As4()
	address[3] = number
	h, err := newHost(netip.AddrFrom4(address))
	if err != nil {
		return nil, fmt.Errorf("make host %d: %w", number, err)
	}
	w.mu.Lock()
	w.hosts[h.Addr] = h
	w.mu.Unlock()
	w.readers.Go(func() { w.read(h) })
	return h, nil
}

// Set makes a rule for packets from one host to another, beside those that there
// are, until it is undone.
func (w *Wire) Set(from, to *Host, rule Rule) (undo func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pair, set := [2]netip.Addr{from.Addr, to.Addr}, &link{rule: rule}
	w.links[pair] = append(w.links[pair], set)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.links[pair] = slices.DeleteFunc(w.links[pair], func(l *link) bool { return l == set })
	}
}

// Close takes the network down.
func (w *Wire) Close() error {
	w.mu.Lock()
	w.closed = true
	var err error
	for _, h := range w.hosts {
		err = errors.Join(err, h.close())
	}
	w.mu.Unlock()
	w.readers.Wait()
	return err
}

// read takes what a host sends until its interface is closed.
func (w *Wire) read(h *Host) {
	for buffer := make([]byte, packetBytes+64); ; {
		n, err := h.tun.Read(buffer)
		if err != nil {
			return
		}
		if to, ok := destination(buffer[:n]); ok {
			w.carry(h, to, buffer[:n])
		}
	}
}

// destination is where an IPv4 packet goes.
func destination(packet []byte) (netip.Addr, bool) {
	if len(packet) < 20 || packet[0]>>4 != 4 || int(binary.BigEndian.Uint16(packet[2:])) > len(packet) {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(packet[16:20])), true
}

// carry brings a packet to its host, now, later or never.
func (w *Wire) carry(from *Host, to netip.Addr, packet []byte) {
	host, after, ok := w.fate(from.Addr, to, len(packet))
	switch {
	case !ok:
	case after <= 0:
		host.receive(packet)
	default:
		late := append([]byte(nil), packet...)
		time.AfterFunc(after, func() { host.receive(late) })
	}
}

// fate is what the rules do to a packet.
func (w *Wire) fate(from, to netip.Addr, size int) (host *Host, after time.Duration, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	host = w.hosts[to]
	if host == nil || w.closed {
		return nil, 0, false
	}
	for _, l := range w.links[[2]netip.Addr{from, to}] {
		wait, passes := l.pass(size, w.random)
		if !passes {
			return nil, 0, false
		}
		after += wait
	}
	return host, after, true
}

// pass is what one rule does to it.
func (l *link) pass(size int, random *rand.Rand) (after time.Duration, ok bool) {
	if l.rule.Cut || l.rule.Loss > 0 && random.Float64() < l.rule.Loss {
		return 0, false
	}
	after = l.rule.Delay
	if l.rule.Jitter > 0 {
		after += time.Duration(random.Int64N(int64(l.rule.Jitter)))
	}
	if l.rule.Rate == 0 {
		return after, true
	}
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	wait := l.free.Sub(now)
	if wait > queueTime {
		return 0, false
	}
	l.free = l.free.Add(time.Duration(size) * time.Second / time.Duration(l.rule.Rate))
	return after + wait, true
}
