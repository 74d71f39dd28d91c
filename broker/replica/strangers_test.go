package replica_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/replica"
)

const raftALPN = "concord-raft/1"

// farTerm is one that would depose every leader.
const farTerm = 1 << 40

// voteCall is what raft's own transport writes to ask for a vote in a term.
func voteCall(t *testing.T, term uint64) []byte {
	t.Helper()
	here, there := net.Pipe()
	trans := raft.NewNetworkTransport(&oneStream{conn: here, ended: make(chan struct{})}, 1, time.Second, io.Discard)
	t.Cleanup(func() { _ = trans.Close() })
	go func() {
		request := &raft.RequestVoteRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3}, Term: term, LastLogIndex: 1 << 40, LastLogTerm: 1 << 40}
		_ = trans.RequestVote("x", "x", request, &raft.RequestVoteResponse{}) // nobody answers
	}()
	call := make([]byte, 4096)
	n, err := bufio.NewReader(there).Read(call)
	if err != nil {
		t.Fatal(err)
	}
	_ = there.Close()
	return call[:n]
}

// oneStream dials one connection that is there already.
type oneStream struct {
	conn  net.Conn
	ended chan struct{}
}

func (s *oneStream) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) { return s.conn, nil }
func (s *oneStream) Accept() (net.Conn, error)                                { <-s.ended; return nil, net.ErrClosed }
func (s *oneStream) Close() error                                             { close(s.ended); return s.conn.Close() }
func (s *oneStream) Addr() net.Addr                                           { return &net.TCPAddr{} }

// certificate is that of a key which no node has; id is what it claims to be.
func certificate(t *testing.T, id string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	if id != "" {
		uri, err := url.Parse(id)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{uri}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// RELIABILITY §1 row 16: raft's transport authenticates nobody.
func TestStrangersAreClosedBeforeTheirFirstCall(t *testing.T) {
	dir := t.TempDir()
	r := open(t, replica.Options{Dir: dir})
	leads(t, r)
	makeDomain(t, r)
	before := r.Status()

	withKey := func(c tls.Certificate) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{raftALPN}, InsecureSkipVerify: true}
	}
	own, err := os.ReadFile(dir + "/node.key")
	if err != nil {
		t.Fatal(err)
	}
	noProtocol := withKey(certificate(t, ""))
	noProtocol.NextProtos = nil
	otherProtocol := withKey(certificate(t, ""))
	otherProtocol.NextProtos = []string{"h2"}
	oldTLS := withKey(certificate(t, ""))
	oldTLS.MaxVersion = tls.VersionTLS12
	for _, c := range []struct {
		name   string
		config *tls.Config // nil: no TLS
	}{
		{"plain", nil},
		{"no certificate", &tls.Config{NextProtos: []string{raftALPN}, InsecureSkipVerify: true}},
		{"an unknown key", withKey(certificate(t, ""))},
		{"an SVID of the domain's server", withKey(certificate(t, "spiffe://acme.example/spire/server"))},
		{"a workload's SVID", withKey(certificate(t, "spiffe://acme.example/web"))},
		{"this node's certificate, another key", withKey(borrowed(t, r.Addr().String(), own))},
		{"no protocol", noProtocol},
		{"another protocol", otherProtocol},
		{"TLS 1.2", oldTLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", r.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if c.config != nil {
				conn = tls.Client(conn, c.config)
			}
			_, _ = conn.Write(voteCall(t, farTerm)) // it may be closed already
			answer, err := io.ReadAll(conn)
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				t.Error("the connection stays open")
			}
			if c.config != nil && len(answer) > 0 {
				t.Errorf("it was answered %d bytes", len(answer))
			}
		})
	}
	after := r.Status()
	if after.Term != before.Term || !after.Leading || after.CommitIndex != before.CommitIndex {
		t.Errorf("the strangers changed the node: %+v, before: %+v", after, before)
	}
	register(t, r, 1)
}

// borrowed shows the certificate of a member, whose key the caller has not.
func borrowed(t *testing.T, address string, ownKey []byte) tls.Certificate {
	t.Helper()
	var shown []byte
	conn, err := tls.Dial("tcp", address, &tls.Config{NextProtos: []string{raftALPN}, InsecureSkipVerify: true,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error { shown = bytes.Clone(raw[0]); return nil },
	})
	if err == nil {
		_ = conn.Close()
	}
	if len(shown) == 0 || len(ownKey) == 0 {
		t.Fatalf("the node showed no certificate: %v", err)
	}
	c := certificate(t, "")
	c.Certificate = [][]byte{shown}
	return c
}

// A member that calls another finds out if somebody else has its address.
func TestAMemberDoesNotTalkToWhoHasOnlyTheAddress(t *testing.T) {
	stranger, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate(t, "")}, NextProtos: []string{raftALPN}, ClientAuth: tls.RequireAnyClientCert,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	handshakes := make(chan error, 16)
	go func() {
		for {
			conn, err := stranger.Accept()
			if err != nil {
				return
			}
			_, err = conn.Read(make([]byte, 1)) // the first byte of a call
			_ = conn.Close()
			select {
			case handshakes <- err:
			default:
			}
		}
	}()
	dir := t.TempDir()
	me, err := replica.EnsureIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open(t, replica.Options{Dir: dir, Listener: listener, Servers: []raft.Server{
		{ID: me, Address: raft.ServerAddress(listener.Addr().String())},
		{ID: "0000", Address: raft.ServerAddress(stranger.Addr().String())},
	}})
	select {
	case err := <-handshakes: // it is asked for its vote
		if err == nil {
			t.Error("a stranger was sent a call")
		}
	case <-patience(t).Done():
		t.Error("the other member was never called")
	}
}

func TestTheRaftPortGivesNoTickets(t *testing.T) {
	r := open(t, replica.Options{Dir: t.TempDir()})
	cache := tls.NewLRUClientSessionCache(8)
	for range 2 {
		conn, err := tls.Dial("tcp", r.Addr().String(), &tls.Config{
			Certificates: []tls.Certificate{certificate(t, "")}, NextProtos: []string{raftALPN}, InsecureSkipVerify: true, ClientSessionCache: cache,
		})
		if err != nil {
			continue // refused during the handshake: no ticket either
		}
		_, _ = io.ReadAll(conn)
		if conn.ConnectionState().DidResume {
			t.Error("a session was resumed")
		}
		_ = conn.Close()
	}
	if _, ok := cache.Get("127.0.0.1"); ok {
		t.Error("a ticket was given")
	}
}
