package fetch

import (
	"errors"
	"net"
	"time"
)

var errTooMuch = errors.New("the peer sent more than a bundle can need")

// meter is a connection that reads no more than it was allowed to, and no
// slower. One goroutine uses it at a time.
type meter struct {
	net.Conn
	left int // bytes that may still be read
	read int // bytes read since the last phase began

	// Set while a body is read, floor 0 otherwise.
	begun time.Time
	grace time.Duration
	floor int // bytes a second
}

// phase starts a part of the conversation that must end within limit.
func (m *meter) phase(limit time.Duration) error {
	m.read, m.floor = 0, 0
	return m.SetDeadline(time.Now().Add(limit))
}

// pace starts a part that must go at floor bytes a second after grace.
func (m *meter) pace(grace time.Duration, floor int) {
	m.read, m.floor = 0, floor
	m.begun, m.grace = time.Now(), grace
}

// Read fails once the allowance is used up, or when the deadline has passed.
func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errTooMuch
	}
	if m.floor > 0 {
		earned := time.Duration(m.read) * time.Second / time.Duration(m.floor)
		if err := m.SetReadDeadline(m.begun.Add(m.grace + earned)); err != nil {
			return 0, err
		}
	}
	n, err := m.Conn.Read(p[:min(len(p), m.left)])
	m.left -= n
	m.read += n
	return n, err
}
