package replica_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/replica"
)

// silent opens a connection from an address of this machine and says nothing. It
// returns when the other side has closed it.
func silent(ctx context.Context, from, to string, open chan<- struct{}) error {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	select {
	case open <- struct{}{}:
	case <-ctx.Done():
	}
	_, _ = io.Copy(io.Discard, conn)
	return nil
}

// besiege holds the raft port with callers who say nothing, until the test ends. It
// returns when the port is full; with renew whoever is put out comes back at once.
func besiege(t *testing.T, from, to string, renew bool) {
	const callers = 2 * replica.MaxHandshakes
	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan struct{})
	var calling sync.WaitGroup
	t.Cleanup(func() { cancel(); calling.Wait() })
	for range callers {
		calling.Go(func() {
			for silent(ctx, from, to, opened) == nil && renew && ctx.Err() == nil {
			}
		})
	}
	for range callers {
		<-opened
	}
	calling.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-opened:
			case <-ctx.Done():
			}
		}
	})
}

// Callers who never say who they are take the room of each other, and not that of a
// member or of one who joins.
func TestIdleCallersKeepNobodyOutOfTheRaftPort(t *testing.T) {
	for _, c := range []struct {
		name, from string
		renew      bool // each comes back as soon as it is put out
	}{
		{"from where the member is", "127.0.0.1", false},
		{"from elsewhere, again and again", "127.0.0.2", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.r.Handle("join", func(_ context.Context, _ replica.Peer, body []byte) ([]byte, error) { return body, nil })
			member, joiner := h.admit("member"), newKey(t)
			token := h.token("joiner", time.Now().Add(time.Hour))
			to := h.r.Addr().String()

			besiege(t, c.from, to, c.renew)
			for protocol, text := range protocols(t, 0) {
				if answer, err := call(dialAs(t, to, protocol, shown(member, h.chain(member)...)), text); err != nil || answer == "" {
					t.Errorf("%s: a member is kept out: %v", protocol, err)
				}
			}
			conn := dialAs(t, to, nodeALPN, shown(joiner, link(t, joiner, joiner), link(t, joiner, token), link(t, token, token)))
			if code, answer := post(t, conn, "join", []byte("let me in")); code != 200 || answer != "let me in" {
				t.Errorf("who joins is answered %d, %s", code, answer)
			}
		})
	}
}
