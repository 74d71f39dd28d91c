package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/tests/memnet"
)

// knocker is a machine that has the join token.
type knocker struct {
	host  *memnet.Host
	dir   string
	token replica.JoinToken // the members in the order in which it asks them
	body  []byte
}

// newKnocker is number i of those who have the token; each begins with another member.
func newKnocker(t *testing.T, network *memnet.Network, i int, token replica.JoinToken) knocker {
	t.Helper()
	dir := t.TempDir()
	key, err := replica.EnsureKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{
		"key": key, "name": token.Name, "address": fmt.Sprintf("10.2.0.%d:8300", i), "version": "test", "commands": state.NewestCommand, "settings": [32]byte{},
	})
	if err != nil {
		t.Fatal(err)
	}
	first := i % len(token.Members)
	token.Members = append(append([]replica.Seed{}, token.Members[first:]...), token.Members[:first]...)
	return knocker{network.Host(fmt.Sprint("10.2.0.", i)), dir, token, body}
}

// knock asks until it is answered, or refused for good.
func (k knocker) knock(ctx context.Context) error {
	for ctx.Err() == nil {
		_, err := replica.Knock(ctx, k.dir, k.token, k.host.Dial, k.body)
		var alert *net.OpError
		switch code := broker.CodeOf(err); {
		case err == nil:
			return nil
		case code != "" && code != broker.Unavailable, errors.As(err, &alert) && alert.Op == "remote error":
			return err // a token that is used up is refused in the handshake already
		}
		time.Sleep(time.Second)
	}
	return ctx.Err()
}

// RELIABILITY §1, row 4: a join token is consumed once, whoever uses it wherever, and
// whoever leads.
func TestAJoinTokenIsUsedOnceByACrowdWhileTheLeaderDies(t *testing.T) {
	for name, slow := range map[string][]string{"with the use on its own disk": {"n1"}, "with the use on its way to the others": {"n2", "n3"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { crowd(newStage(t), slow) })
		})
	}
}

// crowd has 200 machines use one token on three members, of which some have a slow
// disk, and the leader dies while it is used.
func crowd(s *stage, slow []string) {
	t := s.t
	s.found([]string{"n1"})
	s.join([]string{"n2", "n3"})
	made, err := s.at("n1").CreateJoinToken(t.Context(), operator, registrar.NewToken{Name: "n4"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := replica.ParseJoinToken(made.After.Text)
	if err != nil {
		t.Fatal(err)
	}
	s.agree(nil)
	for _, a := range s.some(slow) {
		a.disk.slow(200 * time.Millisecond)
	}
	inside, others := s.allKnock(200, token, func() {
		time.Sleep(100 * time.Millisecond)
		s.kill([]string{"n1"})
		for _, a := range s.actors {
			a.disk.slow(0)
		}
	})
	if inside != 1 {
		t.Errorf("%d were let in; one of the others: %v", inside, others)
	}
	s.start([]string{"n1"})
	s.leader(nil)
	s.agree(nil)
	if status, err := s.at("n2").Clustered(t.Context(), operator); err != nil || len(status.Members) != 4 {
		t.Errorf("there are %d members, %v", len(status.Members), err)
	}
}

// allKnock has so many machines knock at once, and does something meanwhile. It returns how many
// were let in, and why another was not.
func (s *stage) allKnock(count int, token replica.JoinToken, meanwhile func()) (inside int64, last any) {
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	var let atomic.Int64
	var why atomic.Value
	var all sync.WaitGroup
	for i := range count {
		k := newKnocker(s.t, s.network, i+1, token)
		all.Go(func() {
			if err := k.knock(ctx); err == nil {
				let.Add(1)
			} else {
				why.Store(err.Error())
			}
		})
	}
	meanwhile()
	all.Wait()
	return let.Load(), why.Load()
}
