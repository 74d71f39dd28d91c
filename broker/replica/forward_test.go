package replica_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
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

// tally is the trails of a cluster, which count how often each request is decided.
type tally struct{ trails []*countingTrail }

type countingTrail struct {
	mu       sync.Mutex
	requests map[string]int
}

func (c *countingTrail) Append(r state.AuditRecord) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[r.RequestID]++
	return nil
}

func (c *countingTrail) Restored(uint64, [32]byte) error { return nil }
func (c *countingTrail) Sync() error                     { return nil }

func (c *tally) adapt(_ int, opts *replica.Options) {
	trail := &countingTrail{requests: map[string]int{}}
	c.trails, opts.Trail = append(c.trails, trail), trail
}

func (c *tally) want(t *testing.T, request string, times int) {
	t.Helper()
	for n, trail := range c.trails {
		trail.mu.Lock()
		if have := trail.requests[request]; have != times {
			t.Errorf("member %d has request %s %d times, not %d", n, request, have, times)
		}
		trail.mu.Unlock()
	}
}

func TestAWriteOnAFollowerIsForwardedAndAppliedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counted tally
		c, _, others := led(t, counted.adapt)
		r := c.members[others[0]]
		applied := register(t, r, 1)
		if applied.Index == 0 || applied.Repeated || applied.Subject == "" || c.board.calls("propose") != 1 {
			t.Errorf("%+v after %d calls", applied, c.board.calls("propose"))
		}
		c.agree(applied.Index)
		counted.want(t, request(1), 1)
		again, err := c.members[others[1]].Propose(t.Context(), act(request(1)), agent(1))
		if err != nil || !again.Repeated || again.Index != applied.Index {
			t.Errorf("the same again: %+v, %v", again, err)
		}
		counted.want(t, request(1), 1)
		// What the state refuses, and what is wrong by itself, is heard as the leader said it.
		refused, err := r.Propose(t.Context(), act("delete"), state.DeleteAgent{ID: agentID(9)})
		wantCode(t, err, broker.NotFound)
		if refused.Index == 0 || refused.Refusal == nil {
			t.Errorf("%+v", refused)
		}
		_, err = r.Propose(t.Context(), act("bad"), state.DeleteEntry{})
		wantCode(t, err, broker.InvalidArgument)
	})
}

// What a member that is not to be believed in all may forward.
func TestAForwardedProposalIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, leader, others := led(t, nil)
		ctx, from := t.Context(), replica.Peer{ID: c.members[others[0]].ID()}
		whole, err := state.Encode(act("x"), agent(1))
		if err != nil {
			t.Fatal(err)
		}
		without, err := state.Encode(act(""), agent(1))
		if err != nil {
			t.Fatal(err)
		}
		flipped := append([]byte{}, whole...)
		flipped[len(flipped)/2] ^= 1
		invalid := bytes.Replace(whole[:len(whole)-4], []byte("/spire/agent/"), []byte("/other/agent/"), 1)
		invalid = binary.BigEndian.AppendUint32(invalid, crc32.Checksum(invalid, crc32.MakeTable(crc32.Castagnoli)))
		for name, body := range map[string][]byte{
			"nothing": nil, "half": whole[:len(whole)/2], "a flipped bit": flipped, "no request ID": without, "what Encode refuses": invalid,
		} {
			_, err := c.members[leader].Answer(ctx, from, "propose", body)
			if broker.CodeOf(err) != broker.InvalidArgument {
				t.Errorf("%s: %v", name, err)
			}
		}
		if text, err := c.members[others[1]].Answer(ctx, from, "propose", whole); err != nil || !strings.Contains(string(text), "undecided") {
			t.Errorf("a member that does not lead took it: %s, %v", text, err)
		}
		if has(c.members[leader], 1) {
			t.Error("something was changed")
		}
	})
}

// The leader goes when the write is in the log, and when it is on its way there.
func TestAWriteWhoseLeaderDiesIsDecidedOnce(t *testing.T) {
	for name, early := range map[string]bool{"between commit and answer": false, "before the commit": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var counted tally
				c, leader, others := led(t, counted.adapt)
				die := func(_ context.Context, to raft.ServerID, name string) error {
					if name != "propose" || to != c.members[leader].ID() {
						return nil
					}
					c.isolate(leader)
					return errors.New("the connection was reset")
				}
				if early {
					c.board.watch(func(_ context.Context, to raft.ServerID, name string) error {
						if name == "propose" && to == c.members[leader].ID() {
							c.deafen(leader) // it hears the write, and nobody hears it
						}
						return nil
					}, die)
				} else {
					c.board.watch(nil, die)
				}
				applied := register(t, c.members[others[0]], 1)
				if applied.Repeated == early {
					t.Errorf("%+v", applied)
				}
				if first, err := c.members[others[1]].Propose(t.Context(), act(request(1)), agent(1)); err != nil || first.Index != applied.Index {
					t.Errorf("then it was at %d, %v, and before at %d", first.Index, err, applied.Index)
				}
				c.board.watch(nil, nil)
				c.connect(0, 1, 2)
				c.agree(register(t, c.members[leader], 2).Index)
				counted.want(t, request(1), 1)
			})
		})
	}
}

func TestAWriteWaitsForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, others := led(t, nil)
		c.isolate(0, 1, 2)
		time.Sleep(2 * time.Second) // nobody leads, and everybody knows
		done := make(chan error, 1)
		go func() {
			_, err := c.members[others[0]].Propose(t.Context(), act(request(1)), agent(1))
			done <- err
		}()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		c.connect(0, 1, 2)
		if err := <-done; err != nil {
			t.Errorf("with a leader: %v", err)
		}
	})
}

func TestAWriteWithoutALeaderEndsWithNothingDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counted tally
		c, leader, others := led(t, counted.adapt)
		c.isolate(leader, others[0])
		began := time.Now()
		_, err := c.members[others[0]].Propose(t.Context(), act(request(1)), agent(1))
		wantCode(t, err, broker.Unavailable)
		if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("it took %s", took)
		}
		if !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("it does not say what became of it: %v", err)
		}
		began = time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.members[others[0]].Propose(short, act(request(2)), agent(2))
		wantCode(t, err, broker.Unavailable)
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("the time that it was given ended after %s", took)
		}
		c.connect(0, 1, 2)
		c.agree(register(t, c.members[c.leader()], 3).Index)
		time.Sleep(time.Minute)
		counted.want(t, request(1), 0)
		counted.want(t, request(2), 0)
	})
}

// A member that nobody tells who leads asks around, past who does not answer.
func TestAMemberThatHearsNoLeaderAsksAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counted tally
		c, leader, _ := led(t, counted.adapt)
		const hangs, lost, leads = 0, 1, 2 // in the order in which they are asked
		if leader != leads {
			hand(t, c.cluster, leader, leads)
		}
		c.deafen(lost) // raft reaches it not, calls go through
		time.Sleep(3 * time.Second)
		if s := c.members[lost].Status(); s.Leader != "" {
			t.Fatalf("it believes that %s leads", s.Leader)
		}
		c.board.watch(nil, func(_ context.Context, to raft.ServerID, _ string) error {
			if to == c.members[hangs].ID() {
				return errors.New("the connection was reset")
			}
			return nil
		})
		applied, err := c.members[lost].Propose(t.Context(), act(request(1)), agent(1))
		if err != nil || applied.Index == 0 || c.board.calls("propose") < 2 {
			t.Fatalf("%+v, %v after %d calls", applied, err, c.board.calls("propose"))
		}
		c.connect(0, 1, 2)
		c.board.watch(nil, nil)
		c.agree(applied.Index)
		counted.want(t, request(1), 1)
	})
}

func TestConfirmWaitsForWhatWasCommittedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trails []*heldTrail
		c := newCompany(t, replica.Options{}, func(_ int, opts *replica.Options) {
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
		makeDomain(t, c.members[leader])
		register(t, c.members[leader], 1)
		done := make(chan error, 1)
		go func() { done <- c.members[slow].Confirm(t.Context()) }()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		close(trails[slow].released)
		if err := <-done; err != nil || !has(c.members[slow], 1) {
			t.Errorf("%v, and it has what was written: %t", err, has(c.members[slow], 1))
		}
		for n := 2; n < 20; n++ {
			register(t, c.members[leader], n)
			for i, m := range c.members {
				if err := m.Confirm(t.Context()); err != nil || !has(m, n) {
					t.Errorf("member %d after write %d: %v, has it %t", i, n, err, has(m, n))
				}
			}
		}
	})
}

func TestConfirmNeedsALeaderWithAQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, leader, others := led(t, nil)
		unable := func(n int) {
			t.Helper()
			began := time.Now()
			wantCode(t, c.members[n].Confirm(t.Context()), broker.Unavailable)
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("it took %s", took)
			}
		}
		synctest.Wait() // raft would count an answer that is on its way
		c.isolate(leader)
		for range 3 { // at once, when it still believes that it leads, and later
			unable(leader)
			time.Sleep(time.Second)
		}
		second := c.leader(leader)
		for _, n := range others {
			if err := c.members[n].Confirm(t.Context()); err != nil {
				t.Errorf("with a quorum: %v", err)
			}
			if n != second {
				c.isolate(n)
				unable(n)
				c.connect(others...)
			}
		}
		// A leader that does not answer is not waited for without end.
		c.board.watch(func(ctx context.Context, _ raft.ServerID, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		}, nil)
		for _, n := range others {
			if n != second {
				unable(n)
			}
		}
	})
}
