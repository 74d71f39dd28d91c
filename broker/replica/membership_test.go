package replica_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
)

// hand gives the leadership to another and waits until it has begun to lead.
func hand(t *testing.T, c *cluster, from, to int) {
	t.Helper()
	if err := c.members[from].Transfer(patience(t), c.members[to].ID()); err != nil {
		t.Fatal(err)
	}
	leads(t, c.members[to])
}

func TestTheLeadershipIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, leader, others := led(t, nil)
		to, third := others[0], others[1]
		hand(t, c.cluster, leader, to)
		if c.members[leader].Leading() {
			t.Error("both lead")
		}
		c.agree(register(t, c.members[leader], 1).Index) // forwarded to the new one
		if err := c.members[third].Transfer(t.Context(), c.members[leader].ID()); err == nil {
			t.Error("a member that does not lead handed over")
		}
		for _, id := range []raft.ServerID{"n9", c.members[to].ID()} {
			if err := c.members[to].Transfer(t.Context(), id); err == nil {
				t.Errorf("it was handed to %s", id)
			}
		}
		leads(t, c.members[to]) // still, or again
		if err := c.members[to].Transfer(patience(t), ""); err != nil {
			t.Error(err)
		}
		c.agree(register(t, c.members[c.leader(to)], 2).Index)
	})
}

// While the leadership changes hands over and over, every write is done, once.
func TestWritesGoOnWhileTheLeadershipChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counted tally
		c, leader, _ := led(t, counted.adapt)
		const writes = 60
		done := make(chan error, 3)
		for writer, m := range c.members {
			go func() {
				for n := writer; n < writes; n += 3 {
					if _, err := m.Propose(t.Context(), act(request(n)), agent(n)); err != nil {
						done <- err
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
				done <- nil
			}()
		}
		for n := range 5 {
			to := (leader + 1 + n%2) % 3
			if err := c.members[leader].Transfer(patience(t), c.members[to].ID()); err != nil {
				t.Log(err) // another election came between
			}
			leader = c.leader()
		}
		for range c.members {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		c.agree(register(t, c.members[c.leader()], writes).Index)
		for n := range writes {
			counted.want(t, request(n), 1)
		}
	})
}

// newcomer opens a member that was admitted and has no log.
func (c *company) newcomer(id raft.ServerID, opts replica.Options) int {
	c.t.Helper()
	_, transport := raft.NewInmemTransport(raft.ServerAddress(id))
	n := len(c.members)
	c.transports = append(c.transports, transport)
	c.cluster.connect(slices.Collect(func(yield func(int) bool) {
		for i := 0; i <= n && yield(i); i++ {
		}
	})...)
	opts.Dir, opts.Transport, opts.ID, opts.OpenStore, opts.Line = c.t.TempDir(), transport, id, openMemory, line{id, c.board}
	if err := replica.WriteAdmission(opts.Dir, replica.Admission{Chain: [][]byte{[]byte("in one process")}, Members: c.members[0].Seeds()}); err != nil {
		c.t.Fatal(err)
	}
	c.members = append(c.members, open(c.t, opts))
	c.board.mu.Lock()
	defer c.board.mu.Unlock()
	c.board.members[id] = c.members[n]
	return n
}

func voters(r *replica.Replica) (all []raft.ServerID) {
	for _, m := range r.Status().Members {
		if m.Voter {
			all = append(all, m.ID)
		}
	}
	return all
}

func TestANewMemberCatchesUpAndVotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, leader, others := led(t, nil)
		for n := range 50 {
			register(t, c.members[leader], n)
		}
		fourth := c.newcomer("n3", replica.Options{})
		time.Sleep(time.Minute)
		if s := c.members[fourth].Status(); s.Leading || s.Heard || s.LastIndex != 0 || len(s.Members) != 0 {
			t.Fatalf("before it was added it is %+v", s)
		}
		// It knows nobody but those whom its admission names.
		applied := register(t, c.members[fourth], 50)
		if err := c.members[leader].AddMember("n3", "n3"); err != nil {
			t.Fatal(err)
		}
		if err := c.members[fourth].WaitIndex(patience(t), applied.Index); err != nil {
			t.Fatal(err)
		}
		c.agree(register(t, c.members[fourth], 51).Index)
		if slices.Contains(voters(c.members[leader]), "n3") {
			t.Error("it votes already")
		}
		for n := range others { // the same again changes nothing, elsewhere it fails
			if err := c.members[others[n]].Promote("n3", "n3"); err == nil {
				t.Error("a member that does not lead gave a vote")
			}
			if err := c.members[leader].Promote("n3", "n3"); err != nil {
				t.Error(err)
			}
		}
		if len(voters(c.members[leader])) != 4 {
			t.Errorf("the voters are %v", voters(c.members[leader]))
		}
		// Its vote counts: of four, three are needed.
		c.isolate(others[0])
		c.agreeBut(register(t, c.members[leader], 52).Index, others[0])
		hand(t, c.cluster, leader, fourth)
		c.connect(0, 1, 2, 3)
		c.agree(register(t, c.members[others[0]], 53).Index)
		if err := c.members[fourth].DropMember(c.members[leader].ID()); err != nil {
			t.Error(err)
		}
		c.agreeBut(register(t, c.members[fourth], 54).Index, leader)
		if has(c.members[leader], 54) {
			t.Error("a member that is out is still sent the log")
		}
	})
}

// agreeBut is agree without one member.
func (c *cluster) agreeBut(index uint64, not int) {
	c.t.Helper()
	some := *c
	some.members = slices.Delete(slices.Clone(c.members), not, not+1)
	some.agree(index)
}

// A leader that takes itself out leaves the others able to go on, and refuses
// what it can decide no more.
func TestALeaderThatIsRemovedLeavesNothingUndecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counted tally
		c, leader, others := led(t, counted.adapt)
		gone := c.members[leader]
		if err := gone.DropMember(gone.ID()); err != nil {
			t.Fatal(err)
		}
		next := c.leader(leader)
		time.Sleep(time.Second)
		if gone.Leading() || next == leader {
			t.Error("it still leads")
		}
		c.agreeBut(register(t, c.members[others[0]], 1).Index, leader)
		if ids := voters(c.members[next]); len(ids) != 2 || slices.Contains(ids, gone.ID()) {
			t.Errorf("the voters are %v", ids)
		}
		c.board.mu.Lock()
		c.board.cut[gone.ID()] = true // the others let it in no more
		c.board.mu.Unlock()
		_, err := gone.Propose(t.Context(), act(request(2)), agent(2))
		wantCode(t, err, broker.Unavailable)
		wantCode(t, gone.Confirm(t.Context()), broker.Unavailable)
		time.Sleep(time.Minute)
		for _, n := range others {
			if has(c.members[n], 2) {
				t.Error("it made a change")
			}
		}
		if d, heard := gone.Staleness(); heard && d < time.Minute {
			t.Errorf("it says that it is stale by %s", d)
		}
		if err := gone.DropMember("n9"); err == nil {
			t.Error("it changed the membership")
		}
	})
}

// A member that missed a join gives its vote to who joined, if nobody else can lead.
func TestAMemberThatMissedAJoinVotesForWhoJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, leader, others := led(t, nil)
		behind, lagging := others[0], others[1]
		c.isolate(lagging)
		fourth := c.newcomer("n3", replica.Options{})
		c.isolate(lagging)
		if err := errors.Join(c.members[leader].AddMember("n3", "n3"), c.members[leader].Promote("n3", "n3")); err != nil {
			t.Fatal(err)
		}
		c.agreeBut(register(t, c.members[fourth], 1).Index, lagging)
		// What the leader says last, only the newcomer hears.
		c.isolate(behind)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := c.members[leader].Propose(ctx, act(request(2)), agent(2))
		cancel()
		wantCode(t, err, broker.Unavailable)
		for c.members[fourth].Status().LastIndex < c.members[leader].Status().LastIndex {
			time.Sleep(10 * time.Millisecond)
		}
		c.isolate(leader)
		c.connect(behind, lagging, fourth)
		if next := c.leader(leader); next != fourth {
			t.Errorf("member %d leads, whose log is not the longest", next)
		}
		last := register(t, c.members[lagging], 3)
		c.agreeBut(last.Index, leader)
	})
}
