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

// queueTime is how long a command may wait for raft to take it.
const queueTime = 5 * time.Second

// Propose puts c into the log and returns what became of it, once a quorum has
// it on disk and this node has applied it. What the state refused is returned
// as its *broker.Refusal, beside the Applied that says at which index.
//
// Every other error is a Refusal too: what state.Encode says of a command that
// is not valid by itself, Unavailable where there was no leader here, or where it is
// not known whether the command is in the log. Then the same act, with the
// same RequestID, may be proposed again: it is applied once.
func (r *Replica) Propose(ctx context.Context, act broker.Act, c state.Command) (state.Applied, error) {
	if act.RequestID == "" {
		return state.Applied{}, broker.Refuse(broker.InvalidArgument, "the act has no request ID, so it could not be repeated safely")
	}
	entry, err := state.Encode(act, c)
	if err != nil {
		return state.Applied{}, err
	}
	if !r.proposals.enter() {
		return state.Applied{}, broker.Refuse(broker.Unavailable, "this node is stopping: nothing was changed; ask another node")
	}
	defer r.proposals.leave()
	if cause := r.stop.cause(); cause != nil {
		return state.Applied{}, broker.Refuse(broker.Unavailable, "this node has stopped: nothing was changed; its log says why")
	}
	return r.submit(ctx, act.RequestID, entry)
}

// outcome is what raft answers.
type outcome struct {
	response any
	err      error
}

func (r *Replica) submit(ctx context.Context, requestID string, entry []byte) (state.Applied, error) {
	answered := make(chan outcome, 1)
	go func() { // not waited for: raft leaves futures unanswered when it stops
		future := r.raft.Load().Apply(entry, queueTime)
		err := future.Error()
		answered <- outcome{future.Response(), err}
	}()
	select {
	case o := <-answered:
		return r.settle(o, requestID)
	case <-ctx.Done():
		return state.Applied{}, unknown(requestID, "the time for it ended: "+ctx.Err().Error())
	case <-r.stop.tripped:
		return state.Applied{}, unknown(requestID, "this node failed meanwhile")
	case <-r.stopped:
		return state.Applied{}, unknown(requestID, "this node stopped meanwhile")
	}
}

// settle asks both: was it replicated, and was it refused?
func (r *Replica) settle(o outcome, requestID string) (state.Applied, error) {
	switch {
	case errors.Is(o.err, raft.ErrNotLeader), errors.Is(o.err, raft.ErrLeadershipTransferInProgress):
		return state.Applied{}, broker.Refuse(broker.Unavailable, "%s: nothing was changed; try again in a moment", r.whoLeads())
	case errors.Is(o.err, raft.ErrEnqueueTimeout):
		return state.Applied{}, broker.Refuse(broker.Unavailable, "this node could not take the change within %s: nothing was changed; try again in a moment", queueTime)
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

func unknown(requestID, why string) *broker.Refusal {
	return broker.Refuse(broker.Unavailable,
		"whether the change was made is not known (%s): read it again, or repeat it with request ID %s, which changes nothing twice", why, requestID)
}

func (r *Replica) whoLeads() string {
	_, id := r.raft.Load().LeaderWithID()
	if id == "" {
		return "there is no leader now"
	}
	return "this node does not lead, " + string(id) + " does"
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
