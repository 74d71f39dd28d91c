package replica

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// raftProtocol and nodeProtocol are the ALPN names of raft's calls and of
	// those between nodes.
	raftProtocol = "concord-raft/1"
	nodeProtocol = "concord-node/1"

	handshakeTime = 5 * time.Second
	// maxHandshakes is how many callers may be proving who they are at once.
	maxHandshakes = 64

	callTime = 5 * time.Second // for one call between members
	poolSize = 3               // idle connections kept per member
)

// ErrUnreached is what a Line returns if the member was not asked at all.
var ErrUnreached = errors.New("a member cannot be reached")

// recogniser says who shows a chain to speak protocol, or refuses.
type recogniser func(protocol string, chain []*x509.Certificate) (Peer, error)

// DialFunc opens a connection to an address.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// stream is the way to the other members: TLS 1.3 in which both sides show that
// they have a member's key. raft's transport authenticates nobody, so who is not
// a member must not reach it.
type stream struct {
	listener  net.Listener
	advertise raft.ServerAddress
	me        identity
	recognise recogniser                             // of those who call
	reach     recogniser                             // of those who are called
	whose     func(raft.ServerAddress) raft.ServerID // the member that has an address in the membership
	// now is where that member says that it is
	now  func(raft.ServerID, raft.ServerAddress) raft.ServerAddress
	log  *slog.Logger
	open DialFunc // nil: TCP

	admitted chan net.Conn // for raft: handshake done, waiting to be accepted
	calls    *lobby        // the same for calls between nodes
	guests   guests        // whoever was admitted and has not left
	entering handshakes    // whoever has not shown yet who he is
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
}

// begin serves s.listener.
func (s *stream) begin() {
	s.admitted = make(chan net.Conn)
	s.entering.room = maxHandshakes
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.calls = &lobby{arrived: make(chan net.Conn), closed: s.ctx.Done(), addr: s.listener.Addr()}
	s.work.Go(s.serve)
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
		shaking := s.entering.begin(conn)
		s.work.Go(func() { s.admit(shaking) })
	}
}

// admit lets a caller through if it is a member.
func (s *stream) admit(caller *handshake) {
	var who Peer
	conn := caller.conn
	secure := tls.Server(conn, s.config(s.recognise, func(p Peer) error { who = p; return nil }, raftProtocol, nodeProtocol))
	ctx, cancel := context.WithTimeout(s.ctx, handshakeTime)
	defer cancel()
	err := secure.HandshakeContext(ctx)
	if !s.entering.end(caller) {
		return // closed to make room for another; the log says how many were
	}
	if err != nil {
		s.log.Info("the raft port refused a caller", "peer", conn.RemoteAddr().String(), "error", err)
		s.close(conn)
		return
	}
	to := s.admitted
	if secure.ConnectionState().NegotiatedProtocol == nodeProtocol {
		to = s.calls.arrived
	}
	select {
	case to <- s.guests.enter(secure, who, s.recognise):
	case <-s.ctx.Done():
		s.close(conn)
	}
}

// config is TLS for both sides: the certificates only carry keys. check, if it is
// not nil, is asked about whoever was recognised.
func (s *stream) config(recognise recogniser, check func(Peer) error, protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{s.me.certificate},
		ClientAuth:             tls.RequireAnyClientCert,
		NextProtos:             protocols,
		SessionTicketsDisabled: true, // a resumed session would not be asked for its key
		InsecureSkipVerify:     true, // the key is the identity: VerifyConnection is the whole check
		VerifyConnection: func(c tls.ConnectionState) error {
			if !slices.Contains(protocols, c.NegotiatedProtocol) {
				return fmt.Errorf("it does not speak %s", strings.Join(protocols, " or "))
			}
			peer, err := recognise(c.NegotiatedProtocol, c.PeerCertificates)
			if err == nil && check != nil {
				err = check(peer)
			}
			return err
		},
	}
}

// must wants a peer to be one member.
func must(id raft.ServerID) func(Peer) error {
	return func(p Peer) error {
		if p.ID != id || p.Token != "" || id == "" {
			return errNotMember
		}
		return nil
	}
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
	ctx, cancel := context.WithTimeout(s.ctx, min(timeout, handshakeTime))
	defer cancel()
	id := s.whose(address)
	return s.visit(ctx, id, s.now(id, address), raftProtocol)
}

// call opens a connection for calls to a member.
func (s *stream) call(ctx context.Context, id raft.ServerID, address raft.ServerAddress) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)() // net/http goes on dialling when the call is over
	return s.visit(ctx, id, address, nodeProtocol)
}

// visit opens a connection to a member, which ends with s.
func (s *stream) visit(ctx context.Context, id raft.ServerID, address raft.ServerAddress, protocol string) (net.Conn, error) {
	conn, err := s.dial(ctx, address, s.config(s.reach, must(id), protocol))
	if err != nil {
		return nil, err
	}
	in := s.guests.enter(conn, Peer{ID: id}, s.reach)
	if s.ctx.Err() != nil {
		in.hangUp()
		return nil, net.ErrClosed
	}
	return in, nil
}

func (s *stream) dial(ctx context.Context, address raft.ServerAddress, config *tls.Config) (*tls.Conn, error) {
	open := s.open
	if open == nil {
		open = (&net.Dialer{}).DialContext
	}
	conn, err := open(ctx, "tcp", string(address))
	if err != nil {
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreached, address, err)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // what went wrong is said already
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreached, address, err)
	}
	return secure, nil
}

// Addr implements net.Listener: where other members reach this one.
func (s *stream) Addr() net.Addr { return advertised(s.advertise) }

// advertised is an address that other members use.
type advertised raft.ServerAddress

func (a advertised) Network() string { return "tcp" }
func (a advertised) String() string  { return string(a) }

// lobby is a listener of connections that are admitted already.
type lobby struct {
	arrived chan net.Conn
	closed  <-chan struct{}
	addr    net.Addr
}

func (l *lobby) Accept() (net.Conn, error) {
	select {
	case conn := <-l.arrived:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *lobby) Close() error   { return nil } // it ends with its stream
func (l *lobby) Addr() net.Addr { return l.addr }

// Close implements net.Listener. It ends every connection, in both directions: who
// waits for a member that does not answer waits no longer. It returns when no
// handshake is left.
func (s *stream) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.guests.hangUp()
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
