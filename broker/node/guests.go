package node

import (
	"net"
	"sync"
)

// guests is a listener that knows who is in. gRPC waits, when it stops, for
// connections that have not finished their handshake; here they can be hung up on.
type guests struct {
	net.Listener

	mu sync.Mutex
	in map[*guest]struct{}
}

// guest is a connection until it is closed.
type guest struct {
	net.Conn
	of *guests
}

func (g *guests) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in == nil {
		g.in = map[*guest]struct{}{}
	}
	c := &guest{conn, g}
	g.in[c] = struct{}{}
	return c, nil
}

func (c *guest) Close() error {
	c.of.mu.Lock()
	delete(c.of.in, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// hangUp closes every connection.
func (g *guests) hangUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.in {
		c.Conn.Close()
	}
}
