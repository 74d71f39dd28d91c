package replica

import (
	"crypto/tls"
	"sync"
)

// guest is the connection of somebody who was recognised when it was opened.
type guest struct {
	*tls.Conn
	who    Peer
	guests *guests
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.guests.leave(g)
	return g.Conn.Close()
}

// guests are the connections that were let in. Who is let in is asked at the
// handshake; who is no member any more must not stay either.
type guests struct {
	mu  sync.Mutex
	all map[*guest]struct{}
}

func (g *guests) enter(conn *tls.Conn, who Peer) *guest {
	in := &guest{Conn: conn, who: who, guests: g}
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
func (g *guests) review(recognise recogniser) (closed []Peer) {
	g.mu.Lock()
	var all []*guest
	for in := range g.all {
		all = append(all, in)
	}
	g.mu.Unlock()
	for _, in := range all {
		s := in.ConnectionState()
		if _, err := recognise(s.NegotiatedProtocol, s.PeerCertificates); err != nil {
			_ = in.Close() // it may have gone by itself
			closed = append(closed, in.who)
		}
	}
	return closed
}
