package endpoint

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"
)

// patience is how long a request may take before its connection is one that
// can be closed for another. It is more than a request that waits for a newer bundle takes.
const patience = 2 * time.Second

// Connections is what became of connections.
type Connections struct {
	Open     int    // now
	Accepted uint64 // ever
	Evicted  uint64 // closed to make room for another
	Refused  uint64 // closed at once: all others were being served
}

// crowd bounds the connections of a Server. When there are too many it closes
// the one that has been idle longest, else the one that has been longest without a
// request, else the one whose request takes longest and too long. Whoever merely
// sits on connections so never locks anybody out.
type crowd struct {
	most int

	mu      sync.Mutex
	members map[net.Conn]*member
	byState map[http.ConnState]*list.List // of *member, the longest in this state first
	total   Connections
}

type member struct {
	conn    net.Conn // below TLS: closing it never waits for the peer
	state   http.ConnState
	since   time.Time
	element *list.Element
}

func newCrowd(most int) *crowd {
	return &crowd{
		most:    most,
		members: make(map[net.Conn]*member),
		byState: map[http.ConnState]*list.List{http.StateNew: list.New(), http.StateActive: list.New(), http.StateIdle: list.New()},
	}
}

// changed is the server's ConnState hook.
func (c *crowd) changed(conn net.Conn, state http.ConnState) {
	victim := c.move(conn, state)
	if victim != nil {
		_ = victim.Close() // its own goroutine sees it and tidies up
	}
}

// move notes conn's new state and returns the connection to close for it, nil if none.
func (c *crowd) move(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[conn]
	if m == nil {
		if state != http.StateNew {
			return nil // evicted before
		}
		m = &member{conn: beneath(conn)}
		c.members[conn] = m
		c.total.Accepted++
		defer c.enter(m, state)
		if len(c.members) > c.most {
			return c.room(conn)
		}
		return nil
	}
	c.byState[m.state].Remove(m.element)
	if state == http.StateClosed || state == http.StateHijacked {
		delete(c.members, conn)
		return nil
	}
	c.enter(m, state)
	return nil
}

// enter puts m behind the others of its state. The caller holds mu.
func (c *crowd) enter(m *member, state http.ConnState) {
	m.state, m.since = state, time.Now()
	m.element = c.byState[state].PushBack(m)
}

// room returns the connection that makes room for newcomer, which may be
// newcomer itself. The caller holds mu.
func (c *crowd) room(newcomer net.Conn) net.Conn {
	for _, state := range []http.ConnState{http.StateIdle, http.StateNew, http.StateActive} {
		front := c.byState[state].Front()
		if front == nil {
			continue
		}
		m := front.Value.(*member)
		if state == http.StateActive && time.Since(m.since) < patience {
			continue
		}
		// Not the first of its state any more, so that the next newcomer
		// closes another one.
		c.byState[state].MoveToBack(front)
		c.total.Evicted++
		return m.conn
	}
	c.total.Refused++
	return beneath(newcomer)
}

// beneath returns the connection under TLS.
func beneath(conn net.Conn) net.Conn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return conn
}

func (c *crowd) counts() Connections {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := c.total
	total.Open = len(c.members)
	return total
}
