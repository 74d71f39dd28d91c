package endpoint_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/endpoint"
)

const places = 8

// ends waits until conn is closed by the other side.
func ends(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}

func TestIdleConnectionsMakeRoom(t *testing.T) {
	d := newDomain(t)
	s, addr := serve(t, endpoint.Options{Handler: endpoint.NewHandler(newLedger(d.publish(t, 7))), Certificate: fixed(d.leaf(t)), Profile: federation.HTTPSWeb, MaxConnections: places})
	var idle []*tls.Conn
	for range places {
		conn := dialTLS(t, d, addr, "http/1.1")
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != 200 {
			t.Fatal(answer, err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		idle = append(idle, conn)
	}
	for range 2 { // each newcomer closes the one that has been idle longest
		if answer, err := get(t, client(t, d), addr); err != nil || answer.StatusCode != 200 {
			t.Fatal(answer, err)
		}
	}
	_ = ends(idle[0])
	_ = ends(idle[1])
	_, _ = io.WriteString(idle[places-1], "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, err := http.ReadResponse(bufio.NewReader(idle[places-1]), nil); err != nil || answer.StatusCode != 200 {
		t.Error("one that was not the oldest is gone: ", err)
	}
	if c := s.Connections(); c.Evicted != 2 || c.Accepted != places+2 || c.Refused != 0 || c.Open > places+2 {
		t.Errorf("%+v", c)
	}
}

func TestConnectionsThatSayNothingMakeRoom(t *testing.T) {
	d := newDomain(t)
	s, addr := serve(t, endpoint.Options{Handler: endpoint.NewHandler(newLedger(d.publish(t, 7))), Certificate: fixed(d.leaf(t)), Profile: federation.HTTPSSPIFFE, MaxConnections: places})
	for range 10 * places {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	if answer, err := get(t, client(t, d), addr); err != nil || answer.StatusCode != 200 {
		t.Fatal(answer, err)
	}
	if c := s.Connections(); c.Evicted+c.Refused < 9*places {
		t.Errorf("%+v", c)
	}
}

func TestACrowdIsServed(t *testing.T) {
	d := newDomain(t)
	h := endpoint.NewHandler(newLedger(d.publish(t, 7)))
	s, addr := serve(t, endpoint.Options{Handler: h, Certificate: fixed(d.leaf(t)), Profile: federation.HTTPSSPIFFE})
	const callers, requests = 100, 5
	before := runtime.NumGoroutine()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			c := client(t, d)
			c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
			defer c.CloseIdleConnections()
			for range requests {
				if answer, err := get(t, c, addr); err != nil || answer.StatusCode != 200 {
					t.Error(answer, err)
					return
				}
			}
		})
	}
	all.Wait()
	if c := h.Counts(); c.Served != callers*requests {
		t.Errorf("%+v", c)
	}
	for start := time.Now(); s.Connections().Open > 0; runtime.Gosched() {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%+v after everybody left", s.Connections())
		}
	}
	if after := runtime.NumGoroutine(); after > before+callers {
		t.Errorf("%d goroutines, %d before", after, before)
	}
}

// pipes is a listener without sockets, so that time can be the test's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

func TestWhoeverIsSlowIsLeft(t *testing.T) {
	for _, tc := range []struct {
		name  string
		speak func(net.Conn) // on the raw connection; returns when it has nothing more to say
		left  time.Duration
	}{
		{"no handshake", func(net.Conn) {}, 5 * time.Second},
		{"half a handshake", func(c net.Conn) { _, _ = c.Write([]byte{22, 3, 1, 2, 0}) }, 5 * time.Second},
		{"no request", func(c net.Conn) { _ = overTLS(c, "http/1.1").Handshake() }, 5 * time.Second},
		{"a header byte a second", func(c net.Conn) {
			conn := overTLS(c, "http/1.1")
			_ = conn.Handshake()
			go func() { _ = ends(conn) }() // a pipe holds nothing: what is not read stops the writer
			for _, b := range []byte("GET / HTTP/1.1\r\nHost: slow\r\n") {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, 5 * time.Second},
		{"no HTTP/2 preface", func(c net.Conn) { _ = overTLS(c, "h2").Handshake() }, 10 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDomain(t)
				l := newPipes()
				serveOn(t, endpoint.Options{Handler: endpoint.NewHandler(newLedger(d.publish(t, 7))), Certificate: fixed(d.leaf(t)), Profile: federation.HTTPSWeb}, l)
				conn := l.dial()
				defer func() { _ = conn.Close() }()
				start := time.Now()
				tc.speak(conn)
				_ = ends(conn)
				if took := time.Since(start); took > tc.left+time.Second {
					t.Errorf("left after %v", took)
				}
			})
		})
	}
}

// overTLS is c with TLS, whoever it is that answers.
func overTLS(c net.Conn, protocol string) *tls.Conn {
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
}

func TestWhenAllAreBusyANewcomerIsRefusedAndTheSlowestLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDomain(t)
		release := make(chan struct{})
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release })
		l := newPipes()
		s := serveOn(t, endpoint.Options{Handler: h, Certificate: fixed(d.leaf(t)), Profile: federation.HTTPSWeb, MaxConnections: places}, l)
		busy := func() *tls.Conn {
			conn := overTLS(l.dial(), "http/1.1")
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			return conn
		}
		for range places {
			defer busy().NetConn().Close()
		}
		synctest.Wait()
		_ = ends(l.dial()) // at once: no time passes, because nobody is too slow yet
		if c := s.Connections(); c.Refused != 1 || c.Evicted != 0 {
			t.Errorf("%+v", c)
		}
		time.Sleep(3 * time.Second)
		defer busy().NetConn().Close()
		synctest.Wait()
		if c := s.Connections(); c.Refused != 1 || c.Evicted != 1 {
			t.Errorf("%+v", c)
		}
		close(release)
	})
}

// rapidReset opens n streams on an HTTP/2 connection and cancels each at once.
func rapidReset(w io.Writer, n int) error {
	out := bufio.NewWriter(w)
	frame := func(kind, flags byte, stream uint32, payload []byte) {
		head := append([]byte{0, 0, byte(len(payload)), kind, flags}, 0, 0, 0, 0)
		binary.BigEndian.PutUint32(head[5:], stream)
		_, _ = out.Write(append(head, payload...))
	}
	_, _ = out.WriteString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	frame(4, 0, 0, nil)                                       // SETTINGS
	request := append([]byte{0x82, 0x84, 0x87, 0x41, 1}, 'x') // GET / https, authority x
	for i := range uint32(n) {
		frame(1, 5, 2*i+1, request)            // HEADERS, the end of both
		frame(3, 0, 2*i+1, []byte{0, 0, 0, 8}) // RST_STREAM: cancel
	}
	return out.Flush()
}

func TestRapidResetHarmsNobodyElse(t *testing.T) {
	d := newDomain(t)
	_, addr := serve(t, endpoint.Options{Handler: endpoint.NewHandler(newLedger(d.publish(t, 7))), Certificate: fixed(d.leaf(t)), Profile: federation.HTTPSWeb})
	ctx, cancel := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	for range 4 {
		conn := dialTLS(t, d, addr, "h2")
		attackers.Go(func() { _ = rapidReset(conn, 2000) })
		attackers.Go(func() { _ = ends(conn) })
		context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	c := client(t, d)
	for i := range 50 {
		if answer, err := get(t, c, addr); err != nil || answer.StatusCode != 200 {
			t.Fatal(fmt.Sprint("request ", i), answer, err)
		}
	}
	cancel()
	attackers.Wait()
}
