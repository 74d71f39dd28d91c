package replica_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
)

// switchboard carries calls between members in one process.
type switchboard struct {
	mu      sync.Mutex
	members map[raft.ServerID]*replica.Replica
	cut     map[raft.ServerID]bool
	carried map[string]int // calls, by name

	// before and after are asked at each call to another member: an error of the
	// one keeps the call from it, an error of the other is heard instead of the
	// answer. Nil: nothing happens.
	before, after hook
}

type hook func(ctx context.Context, to raft.ServerID, name string) error

// line is a member's way to the others.
type line struct {
	from  raft.ServerID
	board *switchboard
}

func (l line) Call(ctx context.Context, to raft.ServerID, name string, body []byte) ([]byte, error) {
	b := l.board
	b.mu.Lock()
	member, before, after := b.members[to], b.before, b.after
	if b.cut[l.from] || b.cut[to] || member == nil || member.Stopped() {
		b.mu.Unlock()
		return nil, fmt.Errorf("%w: %s", replica.ErrUnreached, to)
	}
	b.carried[name]++
	b.mu.Unlock()
	if before != nil {
		if err := before(ctx, to, name); err != nil {
			return nil, err
		}
	}
	answer, err := member.Answer(ctx, replica.Peer{ID: l.from}, name, body)
	var refusal *broker.Refusal
	if err != nil && !errors.As(err, &refusal) {
		err = errors.New(err.Error()) // as it comes over a wire
	}
	if after != nil {
		if lost := after(ctx, to, name); lost != nil {
			return nil, lost
		}
	}
	return answer, err
}

// calls counts the calls of a name.
func (b *switchboard) calls(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.carried[name]
}

// watch says what is asked at each call.
func (b *switchboard) watch(before, after hook) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before, b.after = before, after
}

// company is a cluster whose members' calls can be cut off too.
type company struct{ *cluster }

func newCompany(t *testing.T, opts replica.Options, adapt func(n int, opts *replica.Options)) *company {
	return &company{newCluster(t, opts, adapt)}
}

// led is a company with a domain and a leader, which comes first.
func led(t *testing.T, adapt func(n int, opts *replica.Options)) (c *company, leader int, others []int) {
	return ledAs(t, "", adapt)
}

// ledAs is led with IDs that begin so.
func ledAs(t *testing.T, ids raft.ServerID, adapt func(n int, opts *replica.Options)) (c *company, leader int, others []int) {
	c = newCompany(t, replica.Options{ID: ids}, adapt)
	leader = c.leader()
	c.agree(found(t, c.members[leader]))
	for n := range c.members {
		if n != leader {
			others = append(others, n)
		}
	}
	return c, leader, others
}

// found makes the domain and returns where in the log.
func found(t *testing.T, r *replica.Replica) uint64 {
	t.Helper()
	makeDomain(t, r)
	return r.View().Index()
}
