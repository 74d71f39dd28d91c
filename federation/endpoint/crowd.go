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
	queues  map[http.ConnState]*list.List // of *member, the longest in this state first
	total   Connections
}

type member struct {
	conn  net.Conn // below TLS: closing it never waits for the peer
	since time.Time
	queue *list.List // nil: it is being closed to make room
	place *list.Element
}

func newCrowd(most int) *crowd {
	c := &crowd{most: most, members: make(map[net.Conn]*member), queues: make(map[http.ConnState]*list.List)}
	for _, state := range []http.ConnState{http.StateNew, http.StateActive, http.StateIdle} {
		c.queues[state] = list.New()
	}
	return c
}

// changed is the server's ConnState hook.
func (c *crowd) changed(conn net.Conn, state http.ConnState) {
	if victim := c.note(conn, state); victim != nil {
		_ = victim.Close() // its own goroutine sees it and tidies up
	}
}

// note keeps conn's new state and returns the connection to close for it, nil if none.
func (c *crowd) note(conn net.Conn, state http.ConnState) (victim net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[conn]
	switch {
	case state == http.StateNew:
		m = &member{conn: beneath(conn)}
		c.members[conn] = m
		c.total.Accepted++
		if len(c.members) > c.most {
			if victim = c.room(); victim == nil {
				c.total.Refused++
				return m.conn // in no queue
			}
		}
	case m == nil:
		return nil
	case state == http.StateClosed || state == http.StateHijacked:
		m.leave()
		delete(c.members, conn)
		return nil
	case !m.leave():
		return nil // on its way out, whatever it does until then
	}
	queue := c.queues[state]
	m.since, m.queue, m.place = time.Now(), queue, queue.PushBack(m)
	return victim
}

// room takes a member out of its queue and returns its connection, which is to
// be closed; nil if all are being served. The caller holds mu.
func (c *crowd) room() net.Conn {
	for _, state := range []http.ConnState{http.StateIdle, http.StateNew, http.StateActive} {
		front := c.queues[state].Front()
		if front == nil {
			continue
		}
		m := front.Value.(*member)
		if state == http.StateActive && time.Since(m.since) < patience {
			continue
		}
		m.leave()
		c.total.Evicted++
		return m.conn
	}
	return nil
}

// leave takes m out of its queue and reports whether it was in one.
func (m *member) leave() bool {
	if m.queue == nil {
		return false
	}
	m.queue.Remove(m.place)
	m.queue = nil
	return true
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
