package replica_test

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/replica"
)

// station is a member that talks over its port, and that can be started again.
type station struct {
	*replica.Replica
	opts  replica.Options
	store *faultyStore
}

func (s *station) open(t *testing.T) {
	t.Helper()
	var err error
	if s.opts.Listener, err = net.Listen("tcp", string(s.opts.Advertise)); err != nil {
		t.Fatal(err)
	}
	s.Replica = open(t, s.opts)
}

// stations are three members, the leader first.
func stations(t *testing.T) []*station {
	t.Helper()
	var all []*station
	var servers []raft.Server
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
		address := raft.ServerAddress(listener.Addr().String())
		s := &station{opts: replica.Options{Dir: dir, Listener: listener, Advertise: address}}
		s.opts.OpenStore = func(dir string) (replica.Store, error) {
			var err error
			s.store, err = openFaulty(dir)
			return s.store, err
		}
		all, servers = append(all, s), append(servers, raft.Server{ID: id, Address: address})
	}
	led := make(chan int, len(all))
	for n, s := range all {
		s.opts.Servers = servers
		s.Replica = open(t, s.opts)
		go func() {
			if s.WaitLeading(patience(t)) == nil {
				led <- n
			}
		}()
	}
	leader := <-led
	all[0], all[leader] = all[leader], all[0]
	return all
}

// load writes until the test ends, or it is told to end.
func load(t *testing.T, leader *station) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	for range 4 {
		writing.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := leader.Propose(ctx, act(request(n)), agent(n)); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	end = func() { cancel(); writing.Wait() }
	t.Cleanup(end)
	return end
}

// A member whose disk fails answers no to what is on its way to it, and goes. When
// it is back, the same leader sends it the log.
func TestAMemberThatSaidNoAndCameBackIsSentTheLog(t *testing.T) {
	all := stations(t)
	leader, follower := all[0], all[1]
	makeDomain(t, leader.Replica)
	end := load(t, leader)
	for round := range 5 {
		follower.store.fault.Store(&fault{op: "append", err: syscall.EIO})
		<-follower.Failed()
		for n := range 50 { // and it goes on saying no until it is closed
			register(t, leader.Replica, 10000*(round+1)+n)
		}
		_ = follower.Close() // it failed already, and said why
		follower.open(t)
		last, err := leader.Propose(patience(t), act("round-"+request(round)), agent(1000+round))
		if err != nil {
			t.Fatal(err)
		}
		if err := follower.WaitIndex(patience(t), last.Index); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	end()
	if !leader.Leading() {
		t.Error("another member leads, so nothing was shown")
	}
}
