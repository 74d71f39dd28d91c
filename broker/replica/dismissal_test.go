package replica_test

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
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
