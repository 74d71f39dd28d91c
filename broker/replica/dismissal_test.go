package replica_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
)

// attendance is who answers a leader.
type attendance struct {
	mu    sync.Mutex
	known map[raft.ServerID]bool
}

func (a *attendance) adapt(_ int, opts *replica.Options) { opts.Answering = a.answering }

func (a *attendance) answering(id raft.ServerID) (answers, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	answers, known = a.known[id]
	return answers, known
}

func (a *attendance) set(known map[raft.ServerID]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known = maps.Clone(known)
}

// recorded has the state know all members, as nodes do when they start.
func (c *company) recorded(leader int) {
	c.t.Helper()
	var commands []state.Command
	for n, m := range c.members {
		member := state.Member{ID: string(m.ID()), Name: fmt.Sprint("node-", n), Address: "a:1", Incarnation: 1, Version: "1", Commands: state.NewestCommand}
		token := strings.Repeat(fmt.Sprint(n), 64)
		if n == 0 {
			commands = append(commands, state.PutMember{Member: member})
			continue
		}
		commands = append(commands,
			state.PutJoinToken{Token: state.JoinToken{ID: token, Name: member.Name, ExpiresAt: began.Add(time.Hour)}},
			state.AdmitMember{Token: token, Member: member})
	}
	for n, command := range commands {
		if _, err := c.members[leader].Propose(c.t.Context(), act(fmt.Sprint("recorded-", n)), command); err != nil {
			c.t.Fatal(err)
		}
	}
}

func TestARemovalLeavesAMajorityThatAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var here attendance
		c, leader, others := ledAs(t, raft.ServerID(strings.Repeat("0", 63)), here.adapt)
		c.recorded(leader)
		boss, first, second := c.members[leader], c.members[others[0]], c.members[others[1]]
		remove := func(request string, id raft.ServerID) error {
			_, err := first.Propose(patience(t), act(request), state.RemoveMember{ID: string(id)})
			return err
		}
		// Nobody was asked yet.
		wantCode(t, remove("remove-1", second.ID()), broker.Unavailable)
		// One is lost: removing another one of three would leave two that vote, and one that answers.
		here.set(map[raft.ServerID]bool{first.ID(): true, second.ID(): false})
		err := remove("remove-2", first.ID())
		wantCode(t, err, broker.FailedPrecondition)
		if !strings.Contains(err.Error(), "node-"+fmt.Sprint(others[1])) {
			t.Errorf("it does not say who does not answer: %v", err)
		}
		if err := remove("remove-3", second.ID()); err != nil {
			t.Fatal(err)
		}
		// It is out of the state, and not yet of the voters.
		wantCode(t, remove("remove-4", first.ID()), broker.Unavailable)
		dropped := make(chan error, 1)
		go func() {
			time.Sleep(time.Second)
			dropped <- boss.DropMember(second.ID())
		}()
		if err := remove("remove-5", first.ID()); err != nil { // it waits for its turn
			t.Error(err)
		}
		if err := <-dropped; err != nil {
			t.Error(err)
		}
		if err := remove("remove-3", second.ID()); err != nil {
			t.Errorf("a removal that is asked for again: %v", err)
		}
	})
}

// A refusal by what the leader knows of others says nothing of an attempt before,
// whose answer was lost.
func TestARefusalAfterAnAttemptWithoutAnAnswerDecidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var off atomic.Bool
		c, _, others := led(t, func(_ int, opts *replica.Options) {
			opts.ClocksAgree = func() error {
				if off.Load() {
					return errors.New("the clocks are off")
				}
				return nil
			}
		})
		follower := c.members[others[0]]
		maker := issue.Domain{Keys: keys.NewMemory(), Cluster: "cluster", TrustDomain: acme, KeyType: ca.P256}
		next, err := maker.NewAuthority(ca.X509, 90*24*time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := follower.Propose(t.Context(), act("prepare"), state.PrepareAuthority{Authority: next}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		c.board.watch(nil, func(_ context.Context, _ raft.ServerID, name string) error {
			if name == "propose" && !off.Swap(true) {
				return errors.New("the answer is lost")
			}
			return nil
		})
		_, err = follower.Propose(t.Context(), act("activate"), state.ActivateAuthority{Use: ca.X509, ID: next.ID, VouchFor: time.Hour})
		wantCode(t, err, broker.Unavailable)
		if !strings.Contains(err.Error(), "is not known") {
			t.Errorf("the caller hears: %v", err)
		}
	})
}
