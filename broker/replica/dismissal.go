package replica

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// A member that the state has removed is refused by all others at once, and
// counts as a voter until the leader has taken it out of raft's membership. So
// the leader lets one removal after another into the log, and none after which
// those who answer are no majority of those who vote: nothing could ever be
// decided again (docs/decisions/0030-removal-leaves-a-majority.md).

// dismiss proposes a removal, alone.
func (r *Replica) dismiss(ctx context.Context, p proposal, id raft.ServerID) (state.Applied, error) {
	select {
	case r.dismissing <- struct{}{}:
	case <-ctx.Done():
		return state.Applied{}, &undecided{refusal: broker.Refuse(broker.Unavailable, "another member is being removed: nothing was changed; try again in a moment")}
	}
	over := func() { <-r.dismissing }
	if err := r.dispensable(id); err != nil {
		over()
		return state.Applied{}, err
	}
	return r.enter(ctx, p, over) // until raft has decided, whoever goes on waiting
}

// dispensable says why a member cannot be removed now, if it is one.
func (r *Replica) dispensable(id raft.ServerID) error {
	if !r.Leading() { // it may not have applied yet what was decided before
		return r.leaderless()
	}
	view := r.View()
	if _, member := view.Member(string(id)); !member {
		return nil // whatever it is, the state says so
	}
	stay, answer, voter := 0, 0, false
	var silent []string
	for _, s := range r.members() {
		if s.Suffrage != raft.Voter {
			continue
		}
		if gone, removed := view.Removed(string(s.ID)); removed {
			return &undecided{again: true, refusal: broker.Refuse(broker.Unavailable,
				"member %s was removed and is still being taken out of the voters: nothing was changed; try again in a moment", gone.Name)}
		}
		if s.ID == id {
			voter = true
			continue
		}
		stay++
		answers, known := r.hears(s.ID)
		switch {
		case !known:
			return &undecided{again: true, refusal: broker.Refuse(broker.Unavailable, "whether member %s answers is not known yet: nothing was changed; try again in a moment", nameIn(view, s.ID))}
		case answers:
			answer++
		default:
			silent = append(silent, nameIn(view, s.ID))
		}
	}
	if voter && stay > 0 && answer*2 <= stay {
		slices.Sort(silent)
		return broker.Refuse(broker.FailedPrecondition, "without member %s there are %d that vote, and %d of them answer: that is no majority, and nothing could be changed any more. "+
			"Bring back, or remove first, who does not answer: %s", nameIn(view, id), stay, answer, strings.Join(silent, ", "))
	}
	return nil
}

// hears reports whether a member answers this one, which leads, and whether it
// was asked at all.
func (r *Replica) hears(id raft.ServerID) (answers, known bool) {
	if id == r.me.id || r.answering == nil {
		return true, true
	}
	return r.answering(id)
}

func nameIn(view *state.View, id raft.ServerID) string {
	if m, ok := view.Member(string(id)); ok {
		return m.Name
	}
	return fmt.Sprintf("%.12s", string(id))
}
