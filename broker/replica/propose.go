package replica

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

const (
	// queueTime is how long a command may wait for raft to take it.
	queueTime = 5 * time.Second
	// writeTime bounds a write with no earlier end of its own, retryPause is
	// between two attempts at it.
	writeTime  = 10 * time.Second
	retryPause = 50 * time.Millisecond
)

// Propose puts c into the log and returns what became of it, once a quorum has
// it on disk and the leader has applied it: WaitIndex waits until this node has. What
// the state refused is returned as its *broker.Refusal, beside the Applied that says at
// which index. Change and Record are there only if this node leads.
//
// It works on every member: the leader is asked, and while it changes, the write is tried
// again, under the same request ID, until ctx ends or for ten seconds.
//
// Every other error is a Refusal too: what state.Encode says of a command that is not
// valid by itself, FailedPrecondition if a member runs a version that does not know it,
// Unavailable where there was no leader, or where it is not known whether the command
// is in the log. Then the same act, with the same RequestID, may be proposed again: it
// is applied once.
func (r *Replica) Propose(ctx context.Context, act broker.Act, c state.Command) (state.Applied, error) {
	if act.RequestID == "" {
		return state.Applied{}, broker.Refuse(broker.InvalidArgument, "the act has no request ID, so it could not be repeated safely")
	}
	entry, err := state.Encode(act, c)
	if err != nil {
		return state.Applied{}, err
	}
	if !r.proposals.enter() {
		return state.Applied{}, errStopping.refusal
	}
	defer r.proposals.leave()
	return r.persist(ctx, proposal{act.RequestID, c, entry})
}

// proposal is a command on its way into the log.
type proposal struct {
	requestID string
	command   state.Command
	entry     []byte
}

// undecided is an attempt to propose that did not tell what became of it.
type undecided struct {
	refusal *broker.Refusal
	unknown bool // it may be in the log
	again   bool // another attempt may fare better
}

func (u *undecided) Error() string { return u.refusal.Detail }

var errStopping = &undecided{refusal: broker.Refuse(broker.Unavailable, "this node is stopping: nothing was changed; ask another node")}

// persist tries until it is known what became of p, or the time is over.
func (r *Replica) persist(ctx context.Context, p proposal) (state.Applied, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	var doubt *undecided // the first attempt that may have put it into the log
	for {
		applied, err := r.attempt(ctx, p)
		var u *undecided
		if !errors.As(err, &u) {
			if doubt != nil && err != nil && applied.Index == 0 {
				// Refused before the log was asked, and it may be in the log already.
				return state.Applied{}, doubt.refusal
			}
			return applied, err
		}
		if doubt == nil && u.unknown {
			doubt = u
		}
		if u.again && r.rest(ctx) {
			continue
		}
		if doubt != nil {
			return state.Applied{}, doubt.refusal
		}
		return state.Applied{}, u.refusal
	}
}

// rest waits before the next attempt; false if there will be none.
func (r *Replica) rest(ctx context.Context) bool {
	timer := time.NewTimer(retryPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-r.stop.tripped:
	case <-r.stopped:
	}
	return false
}

// attempt proposes once, here or at the leader. What is not decided by it is
// an *undecided.
func (r *Replica) attempt(ctx context.Context, p proposal) (state.Applied, error) {
	if r.stop.cause() != nil {
		return state.Applied{}, &undecided{refusal: broker.Refuse(broker.Unavailable, "this node has stopped: nothing was changed; its log says why")}
	}
	running := r.raft.Load()
	if running.State() == raft.Leader {
		return r.submit(ctx, p)
	}
	_, leader := running.LeaderWithID()
	switch {
	case r.line == nil:
		return state.Applied{}, r.leaderless()
	case leader == "" || leader == r.me.id:
		return r.search(ctx, p)
	}
	return r.forward(ctx, leader, p)
}

// search proposes at each of the other members: the leader may not know where
// this one is now, and so never call it.
func (r *Replica) search(ctx context.Context, p proposal) (state.Applied, error) {
	found := r.leaderless()
	for _, seed := range r.seeds() {
		if seed.ID == r.me.id {
			continue
		}
		asked, cancel := context.WithTimeout(ctx, searchTime)
		applied, err := r.forward(asked, seed.ID, p)
		cancel()
		var u *undecided
		if !errors.As(err, &u) {
			return applied, err
		}
		if u.unknown && !found.unknown { // the others are asked all the same: it is applied once
			found = u
		}
	}
	return state.Applied{}, found
}

// outcome is what raft answers.
type outcome struct {
	response any
	err      error
}

// submit proposes p on this node, which leads.
func (r *Replica) submit(ctx context.Context, p proposal) (state.Applied, error) {
	if err := r.View().Knows(p.command); err != nil {
		return state.Applied{}, err
	}
	switch c := p.command.(type) {
	case state.RemoveMember:
		return r.dismiss(ctx, p, raft.ServerID(c.ID))
	case state.ActivateAuthority:
		err := r.clocksAgree()
		switch refusal := (*broker.Refusal)(nil); {
		case c.Force || err == nil:
		case errors.As(err, &refusal) && refusal.Code == broker.Unavailable:
			return state.Applied{}, &undecided{again: true, refusal: refusal}
		default:
			return state.Applied{}, broker.Refuse(broker.FailedPrecondition, "whether the publication window of %s authority %s is over cannot be told: %v", c.Use, c.ID, err)
		}
	}
	return r.enter(ctx, p, func() {})
}

// enter puts p into the log and waits for what becomes of it. It is over, and over
// is called, when raft has answered, which may be later than who asked waits.
func (r *Replica) enter(ctx context.Context, p proposal, over func()) (state.Applied, error) {
	answered := make(chan outcome, 1)
	go func() { // not waited for: raft leaves futures unanswered when it stops
		defer over()
		future := r.raft.Load().Apply(p.entry, queueTime)
		err := future.Error()
		answered <- outcome{future.Response(), err}
	}()
	select {
	case o := <-answered:
		return r.settle(o, p.requestID)
	case <-ctx.Done():
		return state.Applied{}, unknown(p.requestID, "the time for it ended: "+ctx.Err().Error())
	case <-r.stop.tripped:
		return state.Applied{}, unknown(p.requestID, "this node failed meanwhile")
	case <-r.stopped:
		return state.Applied{}, unknown(p.requestID, "this node stopped meanwhile")
	}
}

// settle asks both: was it replicated, and was it refused?
func (r *Replica) settle(o outcome, requestID string) (state.Applied, error) {
	switch {
	case errors.Is(o.err, raft.ErrNotLeader), errors.Is(o.err, raft.ErrLeadershipTransferInProgress):
		return state.Applied{}, r.leaderless()
	case errors.Is(o.err, raft.ErrEnqueueTimeout):
		return state.Applied{}, &undecided{refusal: broker.Refuse(broker.Unavailable,
			"this node could not take the change within %s: nothing was changed; try again in a moment", queueTime)}
	case o.err != nil:
		return state.Applied{}, unknown(requestID, o.err.Error())
	}
	applied, ok := o.response.(state.Applied)
	if !ok {
		return state.Applied{}, unknown(requestID, "this node could not apply it")
	}
	if applied.Refusal != nil {
		return applied, applied.Refusal
	}
	return applied, nil
}

func unknown(requestID, why string) *undecided {
	return &undecided{unknown: true, again: true, refusal: broker.Refuse(broker.Unavailable,
		"whether the change was made is not known (%s): read it again, or repeat it with request ID %s, which changes nothing twice", why, requestID)}
}

func (r *Replica) leaderless() *undecided {
	who := "there is no leader now"
	if _, id := r.raft.Load().LeaderWithID(); id != "" && id != r.me.id {
		who = "this node does not lead, " + string(id) + " does"
	}
	return &undecided{again: true, refusal: broker.Refuse(broker.Unavailable, "%s: nothing was changed; try again in a moment", who)}
}

// proposals counts what is under way, so that Close can wait for it.
type proposals struct {
	mu       sync.Mutex
	underWay int
	drained  chan struct{} // nil until drain; closed when nothing is under way
}

// enter reports false once drain has begun.
func (p *proposals) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drained != nil {
		return false
	}
	p.underWay++
	return true
}

func (p *proposals) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.underWay--
	if p.drained != nil && p.underWay == 0 {
		close(p.drained)
	}
}

// drain lets nothing more in and waits, at most d, for what is under way.
func (p *proposals) drain(d time.Duration) {
	p.mu.Lock()
	p.drained = make(chan struct{})
	if p.underWay == 0 {
		close(p.drained)
	}
	p.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.drained:
	case <-timer.C:
	}
}
