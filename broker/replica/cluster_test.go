package replica_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

// cluster is three members in one process, whose time is the test's.
type cluster struct {
	t          *testing.T
	members    []*replica.Replica
	transports []*raft.InmemTransport
	board      *switchboard
}

// newCluster opens three members, whose IDs begin with that of opts, or with n;
// adapt, if it is not nil, is asked for each.
func newCluster(t *testing.T, opts replica.Options, adapt func(n int, opts *replica.Options)) *cluster {
	c := &cluster{t: t, board: &switchboard{members: map[raft.ServerID]*replica.Replica{}, cut: map[raft.ServerID]bool{}, carried: map[string]int{}}}
	var servers []raft.Server
	for n := range 3 {
		id := cmp.Or(opts.ID, "n") + raft.ServerID(fmt.Sprint(n))
		address, transport := raft.NewInmemTransport(raft.ServerAddress(id))
		servers = append(servers, raft.Server{ID: id, Address: address})
		c.transports = append(c.transports, transport)
	}
	c.connect(0, 1, 2)
	for n := range servers {
		opts := opts
		opts.Dir, opts.Transport, opts.ID, opts.Servers = t.TempDir(), c.transports[n], servers[n].ID, servers
		opts.OpenStore, opts.Line = openMemory, line{opts.ID, c.board}
		if adapt != nil {
			adapt(n, &opts)
		}
		m := open(t, opts)
		c.members = append(c.members, m)
		c.board.mu.Lock()
		c.board.members[m.ID()] = m
		c.board.mu.Unlock()
	}
	return c
}

// connect lets these members talk to each other.
func (c *cluster) connect(members ...int) {
	for _, a := range members {
		for _, b := range members {
			c.transports[a].Connect(c.transports[b].LocalAddr(), c.transports[b])
		}
	}
	c.board.mu.Lock()
	defer c.board.mu.Unlock()
	for _, n := range members {
		if n < len(c.members) {
			delete(c.board.cut, c.members[n].ID())
		}
	}
}

// deafen cuts one member off in both directions, for raft and not for calls.
func (c *cluster) deafen(n int) {
	c.transports[n].DisconnectAll()
	for _, other := range c.transports {
		other.Disconnect(c.transports[n].LocalAddr())
	}
}

// isolate cuts members off for both.
func (c *cluster) isolate(members ...int) {
	for _, n := range members {
		c.deafen(n)
		c.board.mu.Lock()
		c.board.cut[c.members[n].ID()] = true
		c.board.mu.Unlock()
	}
}

// leader waits until one of the others leads.
func (c *cluster) leader(not ...int) int {
	c.t.Helper()
	for range 300 {
		time.Sleep(100 * time.Millisecond)
	members:
		for n, m := range c.members {
			for _, other := range not {
				if n == other {
					continue members
				}
			}
			if m.Leading() {
				return n
			}
		}
	}
	c.t.Fatal("nobody leads")
	return 0
}

// agree waits until all have the leader's newest index, and wants one state.
func (c *cluster) agree(index uint64) {
	c.t.Helper()
	for n, m := range c.members {
		if err := m.WaitIndex(patience(c.t), index); err != nil {
			c.t.Fatalf("member %d does not come to %d: %v", n, index, err)
		}
		if m.View().Digest() != c.members[0].View().Digest() || m.View().AuditHead() != c.members[0].View().AuditHead() {
			c.t.Errorf("members %d and 0 do not agree", n)
		}
	}
}

func TestThreeElectLoseTheLeaderElectAndAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, replica.Options{}, nil)
		first := c.leader()
		makeDomain(t, c.members[first])
		c.agree(register(t, c.members[first], 1).Index)

		c.isolate(first)
		second := c.leader(first)
		if c.members[first].Leading() {
			t.Error("the old leader still believes that it leads")
		}
		_, err := c.members[first].Propose(t.Context(), act("lost"), agent(2))
		wantCode(t, err, broker.Unavailable)
		after := register(t, c.members[second], 3)

		c.connect(0, 1, 2)
		c.agree(after.Index)
		if has(c.members[first], 2) {
			t.Error("a change that no quorum had was made")
		}
	})
}

func TestAProposalWhoseLeaderIsCutOffHasAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, replica.Options{}, nil)
		first := c.leader()
		makeDomain(t, c.members[first])
		c.isolate(first)
		_, err := c.members[first].Propose(t.Context(), act(request(1)), agent(1))
		wantCode(t, err, broker.Unavailable)

		second := c.leader(first)
		c.connect(0, 1, 2)
		c.agree(register(t, c.members[second], 1).Index)
		if n := c.members[first].View().AgentCount(); n != 1 {
			t.Errorf("the repetition made %d agents", n)
		}
	})
}

func TestAMemberFarBehindCatchesUpBySnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, replica.Options{SnapshotEntries: 8, TrailingEntries: 2}, nil)
		leader := c.leader()
		makeDomain(t, c.members[leader])
		behind := (leader + 1) % 3
		c.isolate(behind)
		for n := range 50 {
			register(t, c.members[leader], n)
		}
		time.Sleep(2 * time.Minute) // a snapshot is taken, the log forgets
		if c.members[leader].Status().SnapshotIndex == 0 {
			t.Fatal("no snapshot was taken")
		}
		c.connect(0, 1, 2)
		last := register(t, c.members[c.leader()], 50)
		c.agree(last.Index)
		if c.members[behind].Status().SnapshotIndex == 0 {
			t.Error("it did not get a snapshot")
		}
	})
}

func TestStalenessIsTheTimeSinceALeaderVouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, replica.Options{}, nil)
		leader := c.leader()
		makeDomain(t, c.members[leader])
		time.Sleep(3 * time.Second)
		for n, m := range c.members {
			if d, heard := m.Staleness(); !heard || d > 2*time.Second {
				t.Errorf("with a leader member %d is stale by %s, heard %v", n, d, heard)
			}
		}
		for n := range c.members {
			c.isolate(n)
		}
		time.Sleep(2 * time.Minute)
		for n, m := range c.members {
			if d, heard := m.Staleness(); !heard || d < 2*time.Minute-time.Second || d > 2*time.Minute+5*time.Second {
				t.Errorf("after two minutes alone member %d is stale by %s, heard %v", n, d, heard)
			}
		}
		c.connect(0, 1, 2)
		c.leader()
		time.Sleep(3 * time.Second)
		for n, m := range c.members {
			if d, _ := m.Staleness(); d > 2*time.Second {
				t.Errorf("together again member %d is stale by %s", n, d)
			}
		}
	})
}

// What raft's messages say is of the moment when they were sent, which nobody
// knows: they may have stood in a buffer. So they make no state fresh.
func TestOnlyAnAnswerMakesTheStateFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, replica.Options{}, nil)
		leader := c.leader()
		makeDomain(t, c.members[leader])
		time.Sleep(3 * time.Second)
		deaf := (leader + 1) % 3
		c.board.mu.Lock()
		c.board.cut[c.members[deaf].ID()] = true // it hears the log, and its questions are not answered
		c.board.mu.Unlock()
		last := register(t, c.members[leader], 1)
		c.agree(last.Index)
		time.Sleep(time.Minute)
		if d, _ := c.members[deaf].Staleness(); d < time.Minute {
			t.Errorf("it asked in vain for a minute, and says that its state is %s old", d)
		}
		if d, _ := c.members[leader].Staleness(); d > 2*time.Second {
			t.Errorf("the leader has a majority without it, and says that its state is %s old", d)
		}
	})
}

// A leader that a majority does not answer knows nothing newer than its question.
func TestALeaderIsFreshByItsMajorityOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, replica.Options{}, nil)
		leader := c.leader()
		makeDomain(t, c.members[leader])
		time.Sleep(3 * time.Second)
		c.board.mu.Lock()
		c.board.cut[c.members[leader].ID()] = true
		c.board.mu.Unlock()
		time.Sleep(time.Minute)
		if d, _ := c.members[leader].Staleness(); d < time.Minute {
			t.Errorf("nobody answered it for a minute, and it says that its state is %s old", d)
		}
		wantCode(t, c.members[leader].Confirm(patience(t)), broker.Unavailable)
	})
}

// heldTrail lets nothing through until it is released.
type heldTrail struct {
	notedTrail
	released chan struct{}
}

func (h *heldTrail) Append(r state.AuditRecord) error {
	<-h.released
	return h.notedTrail.Append(r)
}

// That a leader is heard is not enough: what it vouched for must be applied.
func TestAMemberThatHearsTheLeaderAndDoesNotKeepUpIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trails []*heldTrail
		c := newCluster(t, replica.Options{}, func(_ int, opts *replica.Options) {
			trails = append(trails, &heldTrail{released: make(chan struct{})})
			opts.Trail = trails[len(trails)-1]
		})
		leader := c.leader()
		slow := (leader + 1) % 3
		for n, trail := range trails {
			if n != slow {
				close(trail.released)
			}
		}
		time.Sleep(3 * time.Second)
		makeDomain(t, c.members[leader])
		last := register(t, c.members[leader], 1)
		time.Sleep(time.Minute)
		if d, heard := c.members[slow].Staleness(); !heard || d < time.Minute || d > time.Minute+2*time.Second {
			t.Errorf("it is stale by %s, heard %v", d, heard)
		}
		close(trails[slow].released)
		c.agree(last.Index)
		time.Sleep(3 * time.Second)
		if d, _ := c.members[slow].Staleness(); d > 2*time.Second {
			t.Errorf("after it kept up it is stale by %s", d)
		}
	})
}

func TestAProcessThatHeardNoLeaderSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := []raft.Server{{ID: "n0", Address: "n0"}, {ID: "n1", Address: "n1"}, {ID: "n2", Address: "n2"}}
		_, transport := raft.NewInmemTransport("n0")
		r := open(t, replica.Options{Dir: t.TempDir(), Transport: transport, ID: "n0", Servers: servers, OpenStore: openMemory})
		time.Sleep(time.Hour)
		if d, heard := r.Staleness(); heard {
			t.Errorf("it heard a leader %s ago", d)
		}
		if s := r.Status(); s.Leading || s.Leader != "" || s.Heard || len(s.Members) != 3 {
			t.Errorf("%+v", s)
		}
	})
}

func TestALeadersWorkEndsWithItsLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, replica.Options{}, nil)
		type turn struct {
			member int
			begins bool
		}
		turns := make(chan turn, 100)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 3)
		for n, m := range c.members {
			go func() {
				ended <- m.WhileLeading(ctx, func(ctx context.Context) {
					turns <- turn{n, true}
					<-ctx.Done()
					turns <- turn{n, false}
				})
			}()
		}
		first := <-turns
		c.isolate(first.member)
		seen := []turn{<-turns, <-turns} // in either order: the one ends, another begins
		c.connect(0, 1, 2)
		var stopped, began bool
		for _, s := range seen {
			stopped = stopped || s == turn{first.member, false}
			began = began || s.begins && s.member != first.member
		}
		if !first.begins || !stopped || !began {
			t.Errorf("first %+v, then %+v", first, seen)
		}
		cancel()
		for range c.members {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v", err)
			}
		}
	})
}

// Over real sockets, with the keys of the nodes.
func TestThreeMembersTalkOverTheirPorts(t *testing.T) {
	var servers []raft.Server
	var dirs []string
	var listeners []net.Listener
	for range 3 {
		dir := t.TempDir()
		id, err := replica.EnsureIdentity(dir)
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		dirs, listeners = append(dirs, dir), append(listeners, listener)
		servers = append(servers, raft.Server{ID: id, Address: raft.ServerAddress(listener.Addr().String())})
	}
	led := make(chan *replica.Replica, 3)
	var members []*replica.Replica
	for n := range servers {
		r := open(t, replica.Options{Dir: dirs[n], Listener: listeners[n], Servers: servers})
		members = append(members, r)
		go func() {
			if r.WaitLeading(patience(t)) == nil {
				led <- r
			}
		}()
	}
	leader := <-led
	makeDomain(t, leader)
	last := register(t, leader, 1)
	for n, m := range members {
		if err := m.WaitIndex(patience(t), last.Index); err != nil || m.View().Digest() != leader.View().Digest() {
			t.Errorf("member %d: %v", n, err)
		}
	}
}
