package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
)

const (
	// leaderPatience is how long the start of the only member waits for its own
	// leadership. It elects itself in well under a second.
	leaderPatience = 30 * time.Second
	// leaderLook is how often a member that waits for the others looks, and
	// leaderSay how often it says so.
	leaderLook = 50 * time.Millisecond
	leaderSay  = 10 * time.Second
)

// awaitLeader waits until somebody leads and this node knows the domain, and sets
// up what is not there yet. The only member must come to lead itself; one of
// several waits for the others, however long they take.
func (n *Node) awaitLeader(ctx context.Context) error {
	wait := n.awaitOthers
	if s := n.replica.Status(); len(s.Members) == 1 && s.Members[0].ID == s.ID {
		wait = n.awaitItself
	}
	if err := wait(ctx); err != nil {
		return err
	}
	if err := n.checkTrail(); err != nil {
		return err
	}
	return n.settle(ctx)
}

func (n *Node) awaitItself(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leaderPatience, fmt.Errorf("no leader after %s", leaderPatience))
	defer cancel()
	leading := make(chan error, 1)
	go func() { leading <- n.replica.WaitLeading(ctx) }()
	select {
	case err := <-n.replica.Failed():
		cancel()
		<-leading
		return err
	case err := <-leading:
		if err != nil {
			return fmt.Errorf("wait for a leader: %w", context.Cause(ctx))
		}
		return nil
	}
}

// awaitOthers waits until this node leads, or has heard a leader and applied all
// that this leader vouched for.
func (n *Node) awaitOthers(ctx context.Context) error {
	telling, told := context.WithCancel(ctx)
	refused := make(chan error, 1)
	var teller sync.WaitGroup
	defer teller.Wait()
	defer told()
	teller.Go(func() {
		if err := n.tellWhereItIs(telling); err != nil {
			refused <- err
		}
	})
	look, say := time.NewTicker(leaderLook), time.NewTicker(leaderSay)
	defer look.Stop()
	defer say.Stop()
	for {
		if n.replica.Leading() {
			return nil
		}
		if _, heard := n.replica.Staleness(); heard {
			return nil
		}
		select {
		case <-look.C:
		case <-say.C:
			n.log.Warn("waiting for a leader: a majority of the members must be up and reach each other; if they refuse this node's certificate, it was removed", "members", strings.Join(addressesOf(n.replica.Seeds()), " "))
		case err := <-refused:
			return fmt.Errorf("register this start: %w", err)
		case err := <-n.replica.Failed():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tellWhereItIs registers this start with whoever can be reached: a leader that
// has another address of this node would never call it. register does it again,
// as the same request, and sees to it that it is done. It returns an error if the
// start was refused.
func (n *Node) tellWhereItIs(ctx context.Context) error {
	act, record := n.startRecord()
	for ctx.Err() == nil && !n.replica.Stopped() {
		if _, err := n.replica.Propose(ctx, act, record); broker.CodeOf(err) != broker.Unavailable {
			return err
		}
	}
	return nil
}

func addressesOf(seeds []replica.Seed) []string {
	var out []string
	for _, s := range seeds {
		out = append(out, string(s.Address))
	}
	return out
}

// checkTrail refuses a log that ends before the audit trail, whose records are
// only of what was in the log: a part of it was lost, or an older copy put back.
func (n *Node) checkTrail() error {
	recorded, _ := n.trail.Position()
	if held := n.replica.View().Index(); recorded > held {
		return fmt.Errorf("the audit trail in %s has a record of log entry %d, and the log in %s ends with entry %d: a part of the log is missing, or an older copy was put back; restore the log, or move %s away to go on without the rest",
			n.dir.audit(), recorded, n.dir.raft(), held, n.dir.audit())
	}
	return nil
}

// handOnTime is how long a leader that stops tries to have another one lead first.
const handOnTime = 2 * time.Second

// handLeadershipOn lets another member lead before this one stops: writes then
// wait for milliseconds, and not for an election.
func (n *Node) handLeadershipOn(ctx context.Context) {
	if n.replica == nil || !n.replica.Leading() {
		return
	}
	voters := 0
	for _, m := range n.replica.Status().Members {
		if m.Voter {
			voters++
		}
	}
	if voters < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOnTime)
	defer cancel()
	if err := n.replica.Transfer(ctx, ""); err != nil && !errors.Is(err, context.Canceled) {
		n.log.Warn("this node stops as the leader", "error", err)
	}
}
