package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/concord-id/concord/attest/process/unix"
	"github.com/concord-id/concord/broker"
)

// The admin socket carries the SPIRE server API (gRPC) and REST on one path.
// They are told apart by the connection's first bytes, so that each server
// still holds the connection itself and the kernel's word on who is at its
// other end.

// preface is what an HTTP/2 client that knows its server sends first (RFC 9113 §3.4).
var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

const (
	// prefaceTimeout bounds how long a caller may be silent before its first byte.
	prefaceTimeout = 10 * time.Second
	// maxUnread bounds the connections that have not said which they are.
	maxUnread = 1024
)

// adminConn is a connection with its caller and the bytes already read from it.
type adminConn struct {
	net.Conn
	caller broker.Caller
	unread io.Reader
}

func (c *adminConn) Read(p []byte) (int, error) { return c.unread.Read(p) }

// adminSplit accepts for two servers.
type adminSplit struct {
	listener net.Listener
	gRPC     *half
	rest     *half
	reading  sync.WaitGroup
	unread   chan struct{} // a place for each connection that has not spoken
}

// half is the listener of one of the two servers.
type half struct {
	split *adminSplit
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func splitAdmin(listener net.Listener) *adminSplit {
	s := &adminSplit{listener: listener, unread: make(chan struct{}, maxUnread)}
	s.gRPC = &half{split: s, conns: make(chan net.Conn), done: make(chan struct{})}
	s.rest = &half{split: s, conns: make(chan net.Conn), done: make(chan struct{})}
	return s
}

// serve accepts until ctx ends.
func (s *adminSplit) serve(ctx context.Context) error {
	defer s.reading.Wait()
	defer context.AfterFunc(ctx, func() { s.listener.Close() })()
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			// Out of descriptors, most likely: it passes.
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case s.unread <- struct{}{}:
			s.reading.Go(func() { s.route(ctx, conn) })
		default:
			conn.Close()
		}
	}
}

// route reads until it is clear which server conn is for.
func (s *adminSplit) route(ctx context.Context, conn net.Conn) {
	silent := context.AfterFunc(ctx, func() { conn.Close() })
	first, err := firstBytes(conn)
	silent()
	<-s.unread
	caller, callerErr := peerOf(conn)
	if err != nil || callerErr != nil {
		conn.Close()
		return
	}
	admin := &adminConn{Conn: conn, caller: caller, unread: io.MultiReader(bytes.NewReader(first), conn)}
	to := s.rest
	if bytes.Equal(first, preface) {
		to = s.gRPC
	}
	select {
	case to.conns <- admin:
	case <-to.done:
		conn.Close()
	case <-ctx.Done():
		conn.Close()
	}
}

// firstBytes reads until the bytes are the preface, or cannot become it.
func firstBytes(conn net.Conn) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(prefaceTimeout)); err != nil {
		return nil, err
	}
	buffer := make([]byte, 0, len(preface))
	for len(buffer) < len(preface) && bytes.HasPrefix(preface, buffer) {
		n, err := conn.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if err != nil {
			return nil, err
		}
	}
	return buffer, conn.SetReadDeadline(time.Time{})
}

// peerOf is whom the kernel named when the connection was made. Whoever can
// open the socket may administer: its mode is the check (0600, or 0660 with
// admin-gid).
func peerOf(conn net.Conn) (broker.Caller, error) {
	known, ok := conn.(*unix.Conn)
	if !ok {
		return broker.Caller{}, fmt.Errorf("not a connection of the admin socket: %T", conn)
	}
	p := known.Process()
	if p.PID == 0 {
		return broker.Caller{}, p.Alive()
	}
	return broker.Caller{
		Name:  fmt.Sprintf("unix:uid=%d,gid=%d,pid=%d", p.UID, p.GID, p.PID),
		Roles: []broker.Role{broker.RoleAdmin},
	}, nil
}

func (h *half) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *half) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

func (h *half) Addr() net.Addr { return h.split.listener.Addr() }

// adminCredentials hand the caller of an adminConn to gRPC.
type adminCredentials struct{}

// adminInfo is what a gRPC handler finds in its context.
type adminInfo struct {
	credentials.CommonAuthInfo
	caller broker.Caller
}

func (adminInfo) AuthType() string { return "unix peer" }

func (adminCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	inner := conn
	if g, ok := conn.(*guest); ok {
		inner = g.Conn
	}
	admin, ok := inner.(*adminConn)
	if !ok {
		return nil, nil, fmt.Errorf("not a connection of the admin socket: %T", inner)
	}
	return conn, adminInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, admin.caller}, nil
}

func (adminCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are a server's")
}

func (adminCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix peer"}
}
func (c adminCredentials) Clone() credentials.TransportCredentials { return c }
func (adminCredentials) OverrideServerName(string) error           { return nil }
