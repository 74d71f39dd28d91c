package replica

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// The calls that every member answers by itself.
const (
	proposeCall = "propose"
	indexCall   = "index"
)

// forwardTime bounds one attempt at the leader, searchTime one at a member that
// may be it, and confirmTime the asking of how far the leader is.
const (
	forwardTime = 5 * time.Second
	searchTime  = 2 * time.Second
	confirmTime = 5 * time.Second
)

// answer calls that concern the log.
func (r *Replica) answerCalls() {
	r.Handle(proposeCall, r.proposed)
	r.Handle(hereCall, r.here)
	r.answerVouching()
	r.Handle(indexCall, func(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
		index, err := r.leaderIndex(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(index)
	})
}

// decision is what became of a forwarded proposal.
type decision struct {
	Index     uint64 `json:"index,omitempty"` // 0: it is not known to be in the log
	Subject   string `json:"subject,omitempty"`
	Repeated  bool   `json:"repeated,omitempty"`
	Refusal   *fault `json:"refusal,omitempty"`
	Undecided bool   `json:"undecided,omitempty"` // Refusal says why
	Unknown   bool   `json:"unknown,omitempty"`   // it may be in the log
}

// forward proposes p at the leader.
func (r *Replica) forward(ctx context.Context, leader raft.ServerID, p proposal) (state.Applied, error) {
	attempt, cancel := context.WithTimeout(ctx, forwardTime)
	defer cancel()
	text, err := r.line.Call(attempt, leader, proposeCall, p.entry)
	var refusal *broker.Refusal
	switch {
	case errors.As(err, &refusal):
		return state.Applied{}, &undecided{again: true, refusal: refusal}
	case errors.Is(err, ErrUnreached):
		return state.Applied{}, &undecided{again: true, refusal: broker.Refuse(broker.Unavailable, "%v: nothing was changed; try again in a moment", err)}
	case err != nil:
		return state.Applied{}, unknown(p.requestID, "the leader did not answer: "+err.Error())
	}
	var d decision
	if err := json.Unmarshal(text, &d); err != nil {
		return state.Applied{}, unknown(p.requestID, "the leader's answer cannot be read: "+err.Error())
	}
	return d.outcome()
}

// outcome is d as submit would have returned it.
func (d decision) outcome() (state.Applied, error) {
	var refusal *broker.Refusal
	if d.Refusal != nil {
		refusal = &broker.Refusal{Code: d.Refusal.Code, Detail: d.Refusal.Detail}
	}
	switch {
	case refusal == nil:
		return state.Applied{Index: d.Index, Subject: d.Subject, Repeated: d.Repeated}, nil
	case d.Undecided:
		return state.Applied{}, &undecided{refusal: refusal, unknown: d.Unknown, again: true}
	}
	return state.Applied{Index: d.Index, Subject: d.Subject, Repeated: d.Repeated, Refusal: refusal}, refusal
}

// proposed answers a member that forwards a proposal to this node.
func (r *Replica) proposed(ctx context.Context, _ Peer, entry []byte) ([]byte, error) {
	act, command, err := state.Decode(entry)
	if err != nil {
		return nil, broker.Refuse(broker.InvalidArgument, "the proposal cannot be read: %v", err)
	}
	if act.RequestID == "" {
		return nil, broker.Refuse(broker.InvalidArgument, "the proposal has no request ID")
	}
	if err := command.Validate(); err != nil {
		return nil, broker.Refuse(broker.InvalidArgument, "%v", err)
	}
	// The time of a change is the leader's: what the state forgets, and what is due,
	// is not decided by whichever member's clock is wrong.
	act.At = r.now()
	if entry, err = state.Encode(act, command); err != nil {
		return nil, err
	}
	if !r.proposals.enter() {
		return nil, errStopping.refusal
	}
	defer r.proposals.leave()
	if r.stop.cause() != nil || r.raft.Load().State() != raft.Leader {
		return json.Marshal(decided(state.Applied{}, r.leaderless()))
	}
	return json.Marshal(decided(r.submit(ctx, proposal{act.RequestID, command, entry})))
}

// decided is what submit returned, for the way back.
func decided(applied state.Applied, err error) decision {
	d := decision{Index: applied.Index, Subject: applied.Subject, Repeated: applied.Repeated}
	var u *undecided
	var refusal *broker.Refusal
	switch {
	case errors.As(err, &u):
		d.Undecided, d.Unknown, refusal = true, u.unknown, u.refusal
	case errors.As(err, &refusal):
	}
	if refusal != nil {
		d.Refusal = &fault{refusal.Code, refusal.Detail}
	}
	return d
}

// Confirm returns when this node's state has everything that was committed
// when it was called: what it then says is not there was not there. It fails
// with Unavailable if no leader with a quorum could be asked before ctx ends, or
// within five seconds (DESIGN §2.12).
func (r *Replica) Confirm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	index, err := r.leaderIndex(ctx)
	if err != nil && r.line != nil && r.raft.Load().State() != raft.Leader {
		var text []byte
		if text, err = r.CallLeader(ctx, indexCall, nil); err == nil {
			err = json.Unmarshal(text, &index)
		}
	}
	if err == nil {
		err = r.WaitIndex(ctx, index)
	}
	if err != nil {
		return broker.Refuse(broker.Unavailable, "no leader could confirm what this node knows: %v; try again in a moment", err)
	}
	return nil
}

// leaderIndex is the newest command of which this node, which leads, knows that
// it is committed, after a quorum said that it still leads.
func (r *Replica) leaderIndex(ctx context.Context) (uint64, error) {
	if !r.Leading() {
		return 0, r.leaderless().refusal
	}
	commit, err := r.vouch(ctx)
	if err != nil {
		return 0, err
	}
	for !r.caughtUp(commit) {
		if !r.rest(ctx) {
			return 0, broker.Refuse(broker.Unavailable, "this node has not applied what is committed in time; try again in a moment")
		}
	}
	return r.View().Index(), nil
}
