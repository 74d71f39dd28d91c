package replica_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

const nodeALPN = "concord-node/1"

// protocols are what the raft port speaks, and for each a first call, to which
// whoever is let in gets an answer.
func protocols(t *testing.T, term uint64) map[string][]byte {
	return map[string][]byte{
		raftALPN: voteCall(t, term),
		nodeALPN: []byte("POST /index HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
	}
}

// dialAs opens a connection as whoever shows cert. Whether the other side lets
// it in shows at the first answer.
func dialAs(t testing.TB, address, protocol string, cert tls.Certificate) *tls.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return tls.Client(conn, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protocol}, InsecureSkipVerify: true})
}

// call says something and returns the first of the answer.
func call(conn net.Conn, text []byte) (string, error) {
	_, _ = conn.Write(text) // it may be closed already
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	return string(answer[:n]), err
}

// late reports that the other side neither answered nor hung up.
func late(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// RELIABILITY §1 rows 4, 16 and 17, DESIGN §4 (Raft transport).
func TestOnlyWhoLeadsToAMemberIsLetIn(t *testing.T) {
	h := newHouse(t)
	member, removed, stranger, later := h.admit("member"), h.admit("removed"), newKey(t), newKey(t)
	h.do(state.PutMember{Member: h.member("member", member, 5)})
	h.do(state.RemoveMember{ID: string(idOf(t, removed))})
	unused, ended := h.token("joiner", time.Now().Add(time.Hour)), h.token("joiner", time.Now().Add(-time.Minute))
	ahead := h.token("joiner", time.Now().Add(365*24*time.Hour)) // made by a clock that is a year ahead
	waits, waiting := h.token("waiting", time.Now().Add(time.Hour)), newKey(t)
	h.use(waits, "waiting", waiting)
	unknown, other := newKey(t), newHouse(t)

	self := func(key crypto.Signer) []byte { return link(t, key, key) }
	byToken := func(key, token crypto.Signer) tls.Certificate {
		return shown(key, self(key), link(t, key, token), self(token))
	}
	long := func(n int) tls.Certificate { // of n certificates
		keys := []crypto.Signer{newKey(t)}
		chain := [][]byte{self(keys[0])}
		for len(chain) < n-1 {
			next := newKey(t)
			if len(chain) == n-2 {
				next = member
			}
			chain, keys = append(chain, link(t, keys[len(keys)-1], next)), append(keys, next)
		}
		return shown(keys[0], append(chain, self(member))...)
	}
	ca := newKey(t)
	svid := certificate(t, "spiffe://acme.example/spire/agent/concord/n1")
	throughMember := [][]byte{self(later), link(t, later, member), link(t, member, h.key), self(h.key)}
	for _, c := range []struct {
		name           string
		cert           tls.Certificate
		byRaft, byNode bool // who is let in, by which protocol
	}{
		{"a member", shown(member, link(t, member, member, start(5))), true, true},
		{"a member at its next start", shown(member, link(t, member, member, start(6))), true, true},
		{"a member whose certificate ended", shown(member, link(t, member, member, start(5), expired)), true, true},
		{"one whom a member admitted", shown(later, throughMember...), true, true},
		{"one whose admission ended", shown(later, link(t, later, later, expired), link(t, later, h.key, expired), link(t, h.key, h.key, expired)), true, true},
		{"a chain of sixteen", long(16), true, true},
		{"a token", byToken(stranger, unused), false, true},
		{"a token whose answer was lost", byToken(waiting, waits), true, true},

		{"a chain of seventeen", long(17), false, false},
		{"no link", shown(stranger, self(stranger)), false, false},
		{"a forged link", shown(stranger, self(stranger), link(t, stranger, stranger), self(member)), false, false},
		{"a forged link in the middle", shown(stranger, self(stranger), link(t, stranger, later), link(t, later, stranger), self(member)), false, false},
		{"a link of another's", shown(stranger, self(stranger), link(t, later, member), link(t, member, h.key), self(h.key)), false, false},
		{"a link that nobody signed", shown(stranger, self(stranger), link(t, stranger, member)), false, false},
		{"the wrong order", shown(later, self(later), throughMember[2], throughMember[1], throughMember[3]), false, false},
		{"the other way round", shown(later, self(later), throughMember[3], throughMember[2], throughMember[1]), false, false},
		{"a link left out", shown(later, self(later), throughMember[1], self(h.key)), false, false},
		{"a member's certificate alone", shown(stranger, self(stranger), self(member), self(h.key)), false, false},
		{"a removed member", shown(removed, h.chain(removed)...), false, false},
		{"a removed member with a new token", byToken(removed, unused), false, false},
		{"one whom a removed member admitted", shown(later, self(later), link(t, later, removed), link(t, removed, h.key), self(h.key)), false, false},
		{"an older start", shown(member, link(t, member, member, start(4))), false, false},
		{"this node's own key", shown(h.key, link(t, h.key, h.key, start(99))), false, false},
		{"a founder of another cluster", shown(other.key, self(other.key)), false, false},
		{"a member of another cluster", shown(stranger, other.chain(stranger)...), false, false},
		{"a workload's SVID", certificate(t, "spiffe://acme.example/web"), false, false},
		{"an agent's SVID and its authority", shown(svid.PrivateKey.(crypto.Signer), link(t, svid.PrivateKey.(crypto.Signer), ca), self(ca)), false, false},
		{"a token that another used", byToken(stranger, waits), false, false},
		{"a token that ended", byToken(stranger, ended), false, false},
		{"a token good for a year", byToken(stranger, ahead), false, false},
		{"an unknown token", byToken(stranger, unknown), false, false},
		{"an altered token", shown(stranger, self(stranger), link(t, stranger, unknown), self(unused)), false, false},
		{"a token for another key", shown(stranger, self(stranger), link(t, later, unused), self(unused)), false, false},
		{"one whom a token's node admitted", shown(later, self(later), link(t, later, stranger), link(t, stranger, unused), self(unused)), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := h.r.Status()
			for protocol, admitted := range map[string]bool{raftALPN: c.byRaft, nodeALPN: c.byNode} {
				term := uint64(farTerm)
				if admitted {
					term = 0
				}
				answer, err := call(dialAs(t, h.r.Addr().String(), protocol, c.cert), protocols(t, term)[protocol])
				switch {
				case late(err):
					t.Errorf("%s: it hears nothing, and the connection stays open", protocol)
				case admitted != (err == nil):
					t.Errorf("%s: let in %t, but it was answered %q, %v", protocol, admitted, answer, err)
				case !admitted && answer != "":
					t.Errorf("%s: it was refused and answered %q", protocol, answer)
				}
			}
			if after := h.r.Status(); after.Term != before.Term || !after.Leading || after.CommitIndex != before.CommitIndex {
				t.Errorf("it changed the node: %+v, before: %+v", after, before)
			}
		})
	}
}

// Who was let in and is no member any more, or whose token is good no more,
// does not stay.
func TestWhoIsNoMemberAnyMoreIsPutOut(t *testing.T) {
	h := newHouse(t)
	leaving, stays, joiner, rival := h.admit("leaving"), h.admit("stays"), newKey(t), newKey(t)
	token := h.token("joiner", time.Now().Add(time.Hour))
	open := func(protocol string, cert tls.Certificate) *tls.Conn {
		conn := dialAs(t, h.r.Addr().String(), protocol, cert)
		if answer, err := call(conn, protocols(t, 0)[protocol]); err != nil || answer == "" {
			t.Fatalf("%s: it was not let in: %v", protocol, err)
		}
		return conn
	}
	byLink := shown(joiner, link(t, joiner, joiner), link(t, joiner, token), link(t, token, token))
	out := map[string]*tls.Conn{
		"a removed member, by raft":   open(raftALPN, shown(leaving, h.chain(leaving)...)),
		"a removed member, by a call": open(nodeALPN, shown(leaving, link(t, leaving, leaving))),
		"a token that another used":   open(nodeALPN, byLink),
	}
	kept := open(raftALPN, shown(stays, h.chain(stays)...))
	keptCall := open(nodeALPN, shown(stays, h.chain(stays)...))
	h.use(token, "joiner", rival)
	h.do(state.RemoveMember{ID: string(idOf(t, leaving))})
	at := time.Now()
	for name, conn := range out {
		if err := conn.SetDeadline(at.Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); late(err) {
			t.Errorf("%s: the connection is open after two seconds", name)
		}
	}
	for protocol, conn := range map[string]*tls.Conn{raftALPN: kept, nodeALPN: keptCall} {
		if answer, err := call(conn, protocols(t, 0)[protocol]); err != nil || answer == "" {
			t.Errorf("%s: a member was put out: %v", protocol, err)
		}
	}
}

// A session that is resumed would not be asked for its key (RELIABILITY §1 row 5).
func TestAMemberResumesNoSession(t *testing.T) {
	h := newHouse(t)
	member := h.admit("member")
	for protocol := range protocols(t, 0) {
		cache := tls.NewLRUClientSessionCache(8)
		for range 3 {
			conn, err := tls.Dial("tcp", h.r.Addr().String(), &tls.Config{
				Certificates: []tls.Certificate{shown(member, h.chain(member)...)}, NextProtos: []string{protocol}, InsecureSkipVerify: true, ClientSessionCache: cache,
			})
			if err != nil {
				t.Fatal(err)
			}
			if answer, err := call(conn, protocols(t, 0)[protocol]); err != nil || answer == "" {
				t.Errorf("%s: %v", protocol, err)
			}
			if conn.ConnectionState().DidResume {
				t.Errorf("%s: a session was resumed", protocol)
			}
			_ = conn.Close()
		}
		if _, ok := cache.Get("127.0.0.1"); ok {
			t.Errorf("%s: a ticket was given", protocol)
		}
	}
}

// post makes a call on a connection and returns the answer.
func post(t testing.TB, conn net.Conn, name string, body []byte) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://member/"+name, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := request.Write(conn); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestWhoJoinsMayOnlyJoin(t *testing.T) {
	h := newHouse(t)
	joiner, token := newKey(t), h.token("joiner", time.Now().Add(time.Hour))
	asked := make(chan replica.Peer, 1)
	h.r.Handle("join", func(_ context.Context, from replica.Peer, body []byte) ([]byte, error) {
		asked <- from
		return body, nil
	})
	h.r.Handle("report", func(context.Context, replica.Peer, []byte) ([]byte, error) {
		t.Error("somebody who is no member was told how this node is")
		return nil, nil
	})
	conn := dialAs(t, h.r.Addr().String(), nodeALPN, shown(joiner, link(t, joiner, joiner), link(t, joiner, token), link(t, token, token)))
	entry, err := state.Encode(act("a joiner's"), agent(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"propose", "index", "report", "", "join/", "join/../propose", "Join"} {
		if code, answer := post(t, conn, name, entry); code != http.StatusUnprocessableEntity || !bytes.Contains([]byte(answer), []byte("permission_denied")) {
			t.Errorf("%q was answered %d, %s", name, code, answer)
		}
	}
	if has(h.r, 1) {
		t.Error("somebody who is no member changed the state")
	}
	if code, answer := post(t, conn, "join", []byte("let me in")); code != http.StatusOK || answer != "let me in" {
		t.Errorf("to join was answered %d, %s", code, answer)
	}
	if from := <-asked; from.ID != idOf(t, joiner) || from.Token != string(idOf(t, token)) {
		t.Errorf("the one who joins is %+v", from)
	}
}
