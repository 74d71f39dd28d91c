package replica

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
)

// How old this node's state may be is counted from when it asked, never from when
// a message came: one that stood in a buffer, in the network or of a process that
// was stopped, tells of a moment long ago. So every member asks the leader, some
// times a second, what is committed, and the leader asks a majority, after it was
// asked, whether there is a newer term. None that answers no can have helped to
// elect another leader before; so nothing was committed then that this one does not
// know.
const (
	askInterval = 200 * time.Millisecond
	askTime     = time.Second
)

// The calls by which members vouch.
const (
	commitCall = "commit" // what is committed, of the leader
	termCall   = "term"   // which term a member is in
)

// round is one asking of a majority, for everybody who waits for it to begin.
type round struct {
	done   chan struct{}
	commit uint64
	err    error
}

// rounds are one that goes on, at most, and the next one.
type rounds struct {
	turn   chan struct{}          // held by the one that goes on
	silent map[raft.ServerID]bool // who did not answer last time; under turn

	mu   sync.Mutex
	next *round
}

// keepAsking keeps knowing how old the state is, until the replica closes.
func (r *Replica) keepAsking() {
	ctx, cancel := r.untilClosing()
	defer cancel()
	ticker := time.NewTicker(askInterval)
	defer ticker.Stop()
	for {
		at := time.Now()
		asking, enough := context.WithTimeout(ctx, askTime)
		if commit, err := r.askCommit(asking); err == nil {
			r.fresh.vouched(commit, at)
		}
		enough()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// untilClosing is a context that ends when the replica begins to close.
func (r *Replica) untilClosing() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-r.closing:
		case <-r.stop.tripped:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}

// askCommit returns an index up to which, at least, everything that was committed
// when it was called lies.
func (r *Replica) askCommit(ctx context.Context) (commit uint64, err error) {
	if r.Leading() {
		return r.vouch(ctx)
	}
	if r.line == nil {
		return 0, errNoLeader
	}
	text, err := r.CallLeader(ctx, commitCall, nil)
	if err == nil {
		err = json.Unmarshal(text, &commit)
	}
	return commit, err
}

// vouch returns what is committed, as far as this node knows, which leads; a
// majority has said since it was called that it knows of no newer term.
func (r *Replica) vouch(ctx context.Context) (commit uint64, err error) {
	r.rounds.mu.Lock()
	mine := r.rounds.next
	if mine == nil {
		mine = &round{done: make(chan struct{})}
		r.rounds.next = mine
		go r.hold(mine) // ends within askTime of its turn
	}
	r.rounds.mu.Unlock()
	select {
	case <-mine.done:
		return mine.commit, mine.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// hold holds a round when its turn has come. Who comes from then on waits for another.
func (r *Replica) hold(mine *round) {
	r.rounds.turn <- struct{}{}
	defer func() { <-r.rounds.turn }()
	r.rounds.mu.Lock()
	r.rounds.next = nil
	r.rounds.mu.Unlock()
	defer close(mine.done)
	until, cancel := r.untilClosing()
	defer cancel()
	ctx, cancel := context.WithTimeout(until, askTime)
	defer cancel()
	if !r.Leading() {
		mine.err = r.leaderless().refusal
		return
	}
	// Not the term of now: this node may have lost its leadership this moment, and
	// what is committed since it would not know.
	running, term := r.raft.Load(), r.ledTerm.Load()
	mine.commit = running.CommitIndex()
	if now := running.CurrentTerm(); now != term {
		mine.err = r.leaderless().refusal
		return
	}
	mine.err = r.undisputed(ctx, term)
}

// hedgeTime is how long those who answered last time are waited for, before the
// others are asked too.
const hedgeTime = 100 * time.Millisecond

// undisputed asks other voters for their terms, and is nil as soon as a majority,
// this node with it, is in none that is newer. Who did not answer last time is asked
// only if the others are not enough: nobody dials a dead member many times a second.
func (r *Replica) undisputed(ctx context.Context, term uint64) error {
	voters, agree, likely, rest := r.electorate()
	terms := make(chan answered, len(likely)+len(rest))
	waiting := 0
	ask := func(ids []raft.ServerID) {
		waiting += len(ids)
		for _, id := range ids {
			go func() { terms <- answered{id, r.termOf(ctx, id)} }() // each ends with ctx
		}
	}
	ask(likely)
	hedge := time.NewTimer(hedgeTime)
	defer hedge.Stop()
	for agree*2 <= voters {
		if waiting == 0 {
			if len(rest) == 0 {
				return broker.Refuse(broker.Unavailable, "this node may lead no more: %d of %d that vote have answered; try again in a moment", agree, voters)
			}
			ask(rest)
			rest = nil
		}
		select {
		case a := <-terms:
			waiting--
			r.rounds.silent[a.by] = a.term == 0
			switch {
			case a.term > term:
				return broker.Refuse(broker.Unavailable, "this node leads no more: there is a newer term (%d, this one is %d); try again in a moment", a.term, term)
			case a.term > 0:
				agree++
			}
		case <-hedge.C:
			ask(rest)
			rest = nil
		}
	}
	return nil
}

// answered is a member's term; 0 if it did not answer.
type answered struct {
	by   raft.ServerID
	term uint64
}

// electorate is how many vote, whether this node does (1 or 0), and the others: those
// who are likely to answer, and the rest. r.rounds.turn is held.
func (r *Replica) electorate() (voters, own int, likely, rest []raft.ServerID) {
	if r.rounds.silent == nil {
		r.rounds.silent = map[raft.ServerID]bool{}
	}
	for _, m := range r.members() {
		if m.Suffrage != raft.Voter {
			continue
		}
		voters++
		switch {
		case m.ID == r.me.id:
			own = 1
		case r.rounds.silent[m.ID]:
			rest = append(rest, m.ID)
		default:
			likely = append(likely, m.ID)
		}
	}
	return voters, own, likely, rest
}

// termOf asks a member for its term; 0 if it does not answer.
func (r *Replica) termOf(ctx context.Context, id raft.ServerID) (term uint64) {
	if r.line == nil {
		return 0
	}
	text, err := r.line.Call(ctx, id, termCall, nil)
	if err != nil || json.Unmarshal(text, &term) != nil {
		return 0
	}
	return term
}

// answerVouching answers those calls.
func (r *Replica) answerVouching() {
	r.Handle(commitCall, func(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
		commit, err := r.vouch(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(commit)
	})
	r.Handle(termCall, func(context.Context, Peer, []byte) ([]byte, error) {
		running := r.raft.Load()
		if running == nil {
			return nil, broker.Refuse(broker.Unavailable, "this node is starting")
		}
		return fmt.Append(nil, running.CurrentTerm()), nil
	})
}
