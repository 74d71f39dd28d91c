package replica_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

// invitation is a token for a node, which h knows from now on.
func (h *house) invitation(name string) replica.JoinToken {
	h.t.Helper()
	token, err := replica.NewJoinToken()
	if err != nil {
		h.t.Fatal(err)
	}
	token.Name, token.ExpiresAt, token.Cluster, token.Domain = name, time.Now().Add(time.Hour).UTC().Round(time.Second), "cluster", acme.Name()
	token.Members = h.r.Seeds()
	id, err := token.ID()
	if err != nil {
		h.t.Fatal(err)
	}
	h.do(state.PutJoinToken{Token: state.JoinToken{ID: id, Name: name, ExpiresAt: token.ExpiresAt}})
	return token
}

// admits answers those who join as a node would.
func (h *house) admits() {
	h.r.Handle("join", func(_ context.Context, from replica.Peer, name []byte) ([]byte, error) {
		if from.Token == "" {
			return nil, broker.Refuse(broker.PermissionDenied, "it has no token")
		}
		member := state.Member{ID: string(from.ID), Name: string(name), Address: "127.0.0.1:1", Version: "1", Commands: state.NewestCommand}
		by := broker.Act{Actor: "join", RequestID: fmt.Sprint("join ", from, time.Now().UnixNano()), At: time.Now()}
		if _, err := h.r.Propose(patience(h.t), by, state.AdmitMember{Token: from.Token, Member: member}); err != nil {
			return nil, err
		}
		return []byte("welcome " + from.ID), nil
	})
}

func TestATokenLetsOneNodeIn(t *testing.T) {
	h := newHouse(t)
	h.admits()
	token, dir := h.invitation("joiner"), t.TempDir()
	knock := func(dir string, token replica.JoinToken) error {
		answer, err := replica.Knock(patience(t), dir, token, nil, []byte("joiner"))
		if id, _ := replica.EnsureIdentity(dir); err == nil && string(answer) != "welcome "+string(id) {
			t.Errorf("it was answered %q", answer)
		}
		return err
	}
	for range 2 { // the answer may have been lost
		if err := knock(dir, token); err != nil {
			t.Fatal(err)
		}
	}
	if err := knock(t.TempDir(), token); err == nil || broker.CodeOf(err) != "" {
		t.Errorf("another node with the same token: %v", err)
	}
	id, err := replica.EnsureIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	// raft may have taken it in before it heard so.
	if err := h.r.AddMember(id, "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	if err := knock(dir, token); err != nil {
		t.Errorf("a member that did not hear that it is one: %v", err)
	}
	h.do(state.PutMember{Member: h.member("joiner", keyIn(t, dir), 1)})
	if err := knock(dir, token); broker.CodeOf(err) != broker.PermissionDenied {
		t.Errorf("a member that has started: %v", err)
	}
	h.do(state.RemoveMember{ID: string(id)})
	if err := knock(dir, token); err == nil || broker.CodeOf(err) != "" {
		t.Errorf("a member that was removed: %v", err)
	}
	never, err := replica.NewJoinToken()
	if err != nil {
		t.Fatal(err)
	}
	never.Members = h.r.Seeds()
	if err := knock(t.TempDir(), never); err == nil || broker.CodeOf(err) != "" {
		t.Errorf("a token that nobody made: %v", err)
	}
}

// RELIABILITY §1 row 4: whoever comes first, one node is let in.
func TestManyAtOnceWithOneTokenAreOneMember(t *testing.T) {
	h := newHouse(t)
	h.admits()
	token := h.invitation("joiner")
	const callers = 20
	results := make(chan error, callers)
	for range callers {
		dir := t.TempDir()
		go func() {
			_, err := replica.Knock(patience(t), dir, token, nil, []byte("joiner"))
			results <- err
		}()
	}
	in := 0
	for range callers {
		if err := <-results; err == nil {
			in++
		}
	}
	if in != 1 || h.r.View().MemberCount() != 2 {
		t.Errorf("%d were let in, the cluster has %d members", in, h.r.View().MemberCount())
	}
}

// impostor listens with a certificate and tells what it was sent.
func impostor(t *testing.T, cert tls.Certificate) (raft.ServerAddress, <-chan string) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{nodeALPN}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	heard := make(chan string, 16)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			text := make([]byte, 64)
			n, _ := conn.Read(text)
			heard <- string(text[:n])
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			_ = conn.Close()
		}
	}()
	return raft.ServerAddress(listener.Addr().String()), heard
}

func TestWhoJoinsTalksToThoseWhomItsTokenNames(t *testing.T) {
	h, other := newHouse(t), newHouse(t)
	h.admits()
	stranger, later, borrower := newKey(t), newKey(t), newKey(t)
	for name, c := range map[string]struct {
		cert tls.Certificate
		good bool
	}{
		"the member":                       {shown(h.key, link(t, h.key, h.key)), true},
		"one whom the member admitted":     {shown(later, h.chain(later)...), true},
		"a stranger":                       {shown(stranger, link(t, stranger, stranger)), false},
		"a member of another cluster":      {shown(stranger, other.chain(stranger)...), false},
		"one with the member's links":      {shown(borrower, link(t, borrower, borrower), link(t, h.key, h.key), link(t, h.key, h.key)), false},
		"the domain's server":              {certificate(t, "spiffe://acme.example/spire/server"), false},
		"one that signed its own addition": {shown(stranger, link(t, stranger, stranger), link(t, stranger, stranger), link(t, h.key, h.key)), false},
	} {
		t.Run(name, func(t *testing.T) {
			address, heard := impostor(t, c.cert)
			token, dir := h.invitation("n"), t.TempDir()
			named := token
			named.Members = []replica.Seed{{ID: h.r.ID(), Address: address}}
			answer, err := replica.Knock(patience(t), dir, named, nil, []byte("a secret"))
			said := <-heard
			switch {
			case c.good && (err != nil || string(answer) != "ok" || !strings.HasPrefix(said, "POST /join")):
				t.Errorf("it was asked %q, %v", said, err)
			case !c.good && (err == nil || said != "" || !strings.Contains(err.Error(), "somebody else answers")):
				t.Errorf("it was told %q, %v", said, err)
			}
			named.Members = append(named.Members, token.Members...) // the next is asked
			if answer, err := replica.Knock(patience(t), dir, named, nil, []byte("n")); err != nil || !c.good && !strings.HasPrefix(string(answer), "welcome") {
				t.Errorf("with a member after it: %q, %v", answer, err)
			}
			id, err := replica.EnsureIdentity(dir)
			if err != nil {
				t.Fatal(err)
			}
			if !c.good {
				h.do(state.RemoveMember{ID: string(id)})
			}
		})
	}
}

func TestATokenIsReadAsItWasWritten(t *testing.T) {
	token, err := replica.NewJoinToken()
	if err != nil {
		t.Fatal(err)
	}
	token.Name, token.Cluster, token.Domain, token.ExpiresAt = "n2", "c", acme.Name(), began
	token.Members = []replica.Seed{{ID: "aa", Address: "10.0.0.1:8300"}, {ID: "bb", Address: "[fd00::1]:8300"}}
	text, err := token.Text()
	if err != nil {
		t.Fatal(err)
	}
	read, err := replica.ParseJoinToken("\n " + text + " \n")
	if err != nil || !slices.Equal(read.Members, token.Members) || string(read.Seed) != string(token.Seed) || read.Name != "n2" || !read.ExpiresAt.Equal(began) {
		t.Errorf("%+v became %+v, %v", token, read, err)
	}
	secret := base64.RawURLEncoding.EncodeToString([]byte(`{"k":"`))[:6]
	for name, bad := range map[string]string{
		"nothing": "", "a word": "concord", "a prefix": "concord-join-1.", "another version": strings.Replace(text, "-1.", "-2.", 1),
		"half of it": text[:len(text)/2], "a character less": text[:len(text)-1], "more": text + "AAAA", "twice": text + text, "with a space": text[:40] + " " + text[40:],
		"no members": mustText(t, replica.JoinToken{Seed: token.Seed}), "no key": mustText(t, replica.JoinToken{Members: token.Members}),
		"a long key":  mustText(t, replica.JoinToken{Seed: append(token.Seed, 0), Members: token.Members}),
		"a large one": "concord-join-1." + strings.Repeat("A", 1<<20),
	} {
		if _, err := replica.ParseJoinToken(bad); err == nil {
			t.Errorf("%s was taken", name)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: its error shows the token: %v", name, err)
		}
	}
}

func mustText(t *testing.T, token replica.JoinToken) string {
	t.Helper()
	text, err := token.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// FuzzJoinToken reads tokens. What is taken is written and read as the same.
func FuzzJoinToken(f *testing.F) {
	token := replica.JoinToken{Seed: make([]byte, 32), Name: "n", ExpiresAt: began, Members: []replica.Seed{{ID: "a", Address: "b:1"}}}
	text, err := token.Text()
	if err != nil {
		f.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "concord-join-1."))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","m":[{}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		token, err := replica.ParseJoinToken("concord-join-1." + base64.RawURLEncoding.EncodeToString(raw))
		if err != nil {
			return
		}
		if _, err := token.ID(); err != nil {
			t.Errorf("its ID: %v", err)
		}
		text, err := token.Text()
		if err != nil {
			return // a year that JSON does not write
		}
		again, err := replica.ParseJoinToken(text)
		if err != nil && len(text) < 8<<10 || err == nil && fmt.Sprint(again) != fmt.Sprint(token) {
			t.Errorf("%+v became %+v, %v", token, again, err)
		}
	})
}

func TestADamagedAdmissionIsLoud(t *testing.T) {
	h := newHouse(t)
	dir := t.TempDir()
	if _, err := replica.EnsureIdentity(dir); err != nil {
		t.Fatal(err)
	}
	key := keyIn(t, dir)
	chain, err := h.r.Admit(key.Public(), "cluster")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "admission.json")
	otherChain, err := h.r.Admit(newKey(t).Public(), "cluster")
	if err != nil {
		t.Fatal(err)
	}
	flipped := [][]byte{slices.Clone(chain[0]), chain[1]}
	flipped[0][len(flipped[0])-1] ^= 1
	for name, damaged := range map[string]replica.Admission{
		"empty": {Members: h.r.Seeds()}, "no certificate": {Chain: [][]byte{{1}, {2}}}, "of another key": {Chain: otherChain}, "a flipped bit": {Chain: flipped},
	} {
		if err := replica.WriteAdmission(dir, damaged); err != nil {
			t.Fatal(err)
		}
		if _, err := tryOpen(t, replica.Options{Dir: dir}); !errors.Is(err, replica.ErrCorrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(path, []byte(`{"chain`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(t, replica.Options{Dir: dir}); !errors.Is(err, replica.ErrCorrupt) {
		t.Errorf("half of it: %v", err)
	}
	if err := replica.WriteAdmission(dir, replica.Admission{Chain: chain, Members: h.r.Seeds()}); err != nil {
		t.Fatal(err)
	}
	open(t, replica.Options{Dir: dir})
}

// port is an address on which a node listens again after it was stopped.
func port(t *testing.T, address string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// D joins while C lags, A dies, B and D have D lead: C must follow, and knows
// neither D nor that it was admitted.
func TestAMemberThatMissedAnAdmissionFollowsWhoWasAdmitted(t *testing.T) {
	names := []string{"A", "B", "C", "D"}
	const a, b, c, d = 0, 1, 2, 3
	var dirs []string
	var servers []raft.Server
	var listeners []net.Listener
	for range names {
		dir := t.TempDir()
		id, err := replica.EnsureIdentity(dir)
		if err != nil {
			t.Fatal(err)
		}
		listener := port(t, "127.0.0.1:0")
		dirs, listeners = append(dirs, dir), append(listeners, listener)
		servers = append(servers, raft.Server{ID: id, Address: raft.ServerAddress(listener.Addr().String())})
	}
	servers[c].Suffrage = raft.Nonvoter // so that A, B and D need no vote of it
	nodes := make([]*replica.Replica, len(names))
	begin := func(n int, listener net.Listener) {
		nodes[n] = open(t, replica.Options{Dir: dirs[n], Listener: listener, Servers: servers[:3]})
	}
	for _, n := range []int{a, b, c} {
		begin(n, listeners[n])
	}
	leader := leaderOf(t, nodes[a], nodes[b])
	makeDomain(t, leader)
	follow(t, nodes[c], register(t, leader, 1).Index)
	if leader != nodes[a] {
		if err := leader.Transfer(patience(t), servers[a].ID); err != nil {
			t.Fatal(err)
		}
		leads(t, nodes[a])
	}
	closeReplica(t, nodes[c])

	key := keyIn(t, dirs[d])
	chain, err := nodes[a].Admit(key.Public(), "cluster")
	if err != nil {
		t.Fatal(err)
	}
	if err := replica.WriteAdmission(dirs[d], replica.Admission{Chain: chain, Members: nodes[a].Seeds()}); err != nil {
		t.Fatal(err)
	}
	begin(d, listeners[d])
	if err := nodes[a].AddMember(servers[d].ID, servers[d].Address); err != nil {
		t.Fatal(err)
	}
	follow(t, nodes[d], register(t, nodes[a], 2).Index)
	if err := nodes[a].Promote(servers[d].ID, servers[d].Address); err != nil {
		t.Fatal(err)
	}
	// Raft gives no vote to whom it does not know as a voter: B must have heard of it.
	follow(t, nodes[b], register(t, nodes[a], 5).Index)
	closeReplica(t, nodes[a])
	if leaderOf(t, nodes[b], nodes[d]) == nodes[b] {
		if err := nodes[b].Transfer(patience(t), servers[d].ID); err != nil {
			t.Fatal(err)
		}
	}
	leads(t, nodes[d])

	begin(c, port(t, string(servers[c].Address)))
	follow(t, nodes[c], register(t, nodes[d], 3).Index)
	applied := register(t, nodes[c], 4) // D is asked
	follow(t, nodes[c], applied.Index)
	if !has(nodes[c], 2) || !has(nodes[c], 3) || !has(nodes[c], 4) || nodes[c].View().Digest() != nodes[d].View().Digest() {
		t.Error("C does not know what D knows")
	}
	if err := nodes[c].Confirm(patience(t)); err != nil {
		t.Error(err)
	}
}

// leaderOf waits until one of these leads.
func leaderOf(t *testing.T, nodes ...*replica.Replica) *replica.Replica {
	t.Helper()
	led := make(chan *replica.Replica, len(nodes))
	ctx, cancel := context.WithCancel(patience(t))
	defer cancel()
	for _, n := range nodes {
		go func() {
			if n.WaitLeading(ctx) == nil {
				led <- n
			}
		}()
	}
	select {
	case n := <-led:
		return n
	case <-ctx.Done():
		t.Fatal("nobody leads")
		return nil
	}
}

// follow waits until a node has applied index.
func follow(t *testing.T, r *replica.Replica, index uint64) {
	t.Helper()
	if err := r.WaitIndex(patience(t), index); err != nil {
		t.Fatalf("it does not come to %d: %v", index, err)
	}
}
