package replica

import (
	"crypto/tls"
	"maps"
	"slices"
	"sync"
)

// guest is a connection with somebody who was recognised when it was opened, in
// either direction.
type guest struct {
	*tls.Conn
	who    Peer
	by     recogniser // who is asked whether it may stay
	guests *guests
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.guests.leave(g)
	return g.Conn.Close()
}

// hangUp ends the connection without a word, and so without waiting.
func (g *guest) hangUp() {
	g.guests.leave(g)
	_ = g.NetConn().Close() // it may have gone by itself
}

// guests are the open connections with members. Who is let in is asked at the
// handshake; who is no member any more must not stay either.
type guests struct {
	mu  sync.Mutex
	all map[*guest]struct{}
}

func (g *guests) enter(conn *tls.Conn, who Peer, by recogniser) *guest {
	in := &guest{Conn: conn, who: who, by: by, guests: g}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = make(map[*guest]struct{})
	}
	g.all[in] = struct{}{}
	return in
}

func (g *guests) leave(in *guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.all, in)
}

// review closes the connections of those who are recognised no more.
func (g *guests) review() (closed []Peer) {
	for _, in := range g.present() {
		s := in.ConnectionState()
		if _, err := in.by(s.NegotiatedProtocol, s.PeerCertificates); err != nil {
			in.hangUp()
			closed = append(closed, in.who)
		}
	}
	return closed
}

// hangUp ends all of them.
func (g *guests) hangUp() {
	for _, in := range g.present() {
		in.hangUp()
	}
}

func (g *guests) present() []*guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.all))
}
