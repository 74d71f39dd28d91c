package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/raft"
)

// Members that read the same log have the same state. The leader compares what
// they report; a member whose state is another one than that of the majority must
// serve nothing more of it, and stops.

const fenceCall = "fence"

// errDiverged is why such a member ends.
var errDiverged = errors.New("the state of this node is not that of the other members, which read the same log: nothing is served from it any more; " +
	"keep its data directory for whoever looks for the cause, remove the member, and join anew with an empty one")

// fence is a state: in a call to be fenced, that of the majority.
type fence struct {
	Index  uint64 `json:"index"`
	Digest string `json:"digest"`
}

// compare finds members whose state is not that of the majority.
func (c *care) compare(ctx context.Context) {
	votes := map[raft.ServerID]bool{}
	for _, m := range c.n.replica.Status().Members {
		votes[m.ID] = m.Voter
	}
	var differs []raft.ServerID
	agree, voters := 1, 0     // of those who vote
	others := map[fence]int{} // voters that have another state, by which
	for m := range c.n.replica.View().Members() {
		id := raft.ServerID(m.ID)
		if votes[id] {
			voters++
		}
		if id == c.n.replica.ID() {
			continue
		}
		switch same, known := c.n.sameAs(c.n.roll.of(id)); {
		case known && same && votes[id]:
			agree++
		case known && !same:
			differs = append(differs, id)
			if h := c.n.roll.of(id); votes[id] {
				others[fence{h.Applied, h.Digest}]++
			}
		}
	}
	if len(differs) == 0 {
		return
	}
	c.n.log.Error("members do not have the same state", "different", len(differs), "agree", agree, "voters", voters)
	switch {
	case agree*2 > voters:
		for _, id := range differs {
			c.tell(ctx, id)
		}
	case slices.ContainsFunc(slices.Collect(maps.Values(others)), func(n int) bool { return n*2 > voters }):
		c.n.fail(errDiverged) // it is this one, as those say who have the same
	}
}

// tell has a member stop whose state differs.
func (c *care) tell(ctx context.Context, id raft.ServerID) {
	index := c.n.roll.of(id).Applied
	digest, _ := c.n.replica.DigestAt(index)
	body, err := json.Marshal(fence{index, hex.EncodeToString(digest[:])})
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, reportTime)
		defer cancel()
		_, err = c.n.replica.Call(ctx, id, fenceCall, body)
	}
	if err != nil {
		c.n.log.Error("a member with another state could not be told to stop", "member", c.n.nameOf(id), "error", err)
	}
}

// sameAs compares a member's report with what this node had at that index.
func (n *Node) sameAs(h heard) (same, known bool) {
	if h.at.IsZero() || h.Digest == "" {
		return false, false
	}
	mine, known := n.replica.DigestAt(h.Applied)
	return hex.EncodeToString(mine[:]) == h.Digest, known
}

// fenced answers a leader that says that this node's state is another one. It is
// looked at here too: nobody stops a node by a call alone.
func (n *Node) fenced(_ context.Context, body []byte) (any, error) {
	var f fence
	if err := json.Unmarshal(body, &f); err != nil {
		return nil, fmt.Errorf("read what the leader says: %w", err)
	}
	mine, known := n.replica.DigestAt(f.Index)
	if known && hex.EncodeToString(mine[:]) != f.Digest {
		n.log.Error("this node's state differs from the leader's", "index", f.Index, "here", hex.EncodeToString(mine[:]), "leader", f.Digest)
		n.fail(errDiverged)
	}
	return struct{}{}, nil
}
