package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// raftProtocol is the ALPN name of raft's calls.
	raftProtocol = "concord-raft/1"

	handshakeTime = 5 * time.Second
	// maxHandshakes is how many callers may be proving who they are at once;
	// more are closed at once, members try again.
	maxHandshakes = 64

	callTime = 5 * time.Second // for one call between members
	poolSize = 3               // idle connections kept per member
)

var errNotMember = errors.New("its key is no member's")

// stream is raft's way to the other members: TLS 1.3 in which both sides show
// that they have a member's key. raft's transport authenticates nobody, so who
// is not a member must not reach it.
type stream struct {
	listener net.Listener
	me       identity
	members  func() []raft.Server
	log      *slog.Logger

	admitted chan net.Conn // handshake done, waiting for raft
	slots    chan struct{} // one per handshake that is going on
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
}

// listenStream serves listener. members is asked at each handshake.
func listenStream(listener net.Listener, me identity, members func() []raft.Server, log *slog.Logger) *stream {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{
		listener: listener, me: me, members: members, log: log,
		admitted: make(chan net.Conn),
		slots:    make(chan struct{}, maxHandshakes),
		ctx:      ctx, cancel: cancel,
	}
	s.work.Go(s.serve)
	return s
}

// serve accepts until the listener is closed.
func (s *stream) serve() {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("the raft port could not accept a connection", "error", err)
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond): // descriptors are short: let some return
			}
			continue
		}
		select {
		case s.slots <- struct{}{}:
			s.work.Go(func() { defer func() { <-s.slots }(); s.admit(conn) })
		default:
			s.close(conn)
		}
	}
}

// admit lets conn through to raft if a member is at its other end.
func (s *stream) admit(conn net.Conn) {
	secure := tls.Server(conn, s.config(s.isMember))
	ctx, cancel := context.WithTimeout(s.ctx, handshakeTime)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		s.log.Info("the raft port refused a caller", "peer", conn.RemoteAddr().String(), "error", err)
		s.close(conn)
		return
	}
	select {
	case s.admitted <- secure:
	case <-s.ctx.Done():
		s.close(conn)
	}
}

// config is TLS for both sides: the certificate only carries the key.
func (s *stream) config(allowed func(raft.ServerID) bool) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{s.me.certificate},
		ClientAuth:             tls.RequireAnyClientCert,
		NextProtos:             []string{raftProtocol},
		SessionTicketsDisabled: true, // a resumed session would not be asked for its key
		InsecureSkipVerify:     true, // the key is the identity: VerifyConnection is the whole check
		VerifyConnection: func(c tls.ConnectionState) error {
			if c.NegotiatedProtocol != raftProtocol {
				return fmt.Errorf("it does not speak %s", raftProtocol)
			}
			if !allowed(peerID(c)) {
				return errNotMember
			}
			return nil
		},
	}
}

func peerID(c tls.ConnectionState) raft.ServerID {
	if len(c.PeerCertificates) == 0 {
		return ""
	}
	return ServerID(c.PeerCertificates[0].RawSubjectPublicKeyInfo)
}

func (s *stream) isMember(id raft.ServerID) bool {
	for _, member := range s.members() {
		if member.ID == id && id != s.me.id {
			return true
		}
	}
	return false
}

// Accept implements net.Listener: it returns members' connections only.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case conn := <-s.admitted:
		return conn, nil
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Dial implements raft.StreamLayer. The key must be that of the member whose
// address this is.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	atAddress := func(id raft.ServerID) bool {
		for _, member := range s.members() {
			if member.Address == address && member.ID == id {
				return true
			}
		}
		return false
	}
	dialer := &net.Dialer{Timeout: min(timeout, handshakeTime)}
	conn, err := tls.DialWithDialer(dialer, "tcp", string(address), s.config(atAddress))
	if err != nil {
		return nil, fmt.Errorf("call the member at %s: %w", address, err)
	}
	return conn, nil
}

// Addr implements net.Listener.
func (s *stream) Addr() net.Addr { return s.listener.Addr() }

// Close implements net.Listener. It returns when no handshake is left.
func (s *stream) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.work.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // raft's transport and we both close it
	}
	return err
}

func (s *stream) close(conn net.Conn) {
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Debug("a connection of the raft port did not close cleanly", "error", err)
	}
}
