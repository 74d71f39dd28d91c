package node

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/state"
)

// expelAgain is after how long a removal that was refused is tried again.
const expelAgain = time.Minute

// expel removes one member that has been silent for as long as is configured, since
// this node leads. The log refuses it where those who stay would be no majority.
func (c *care) expel(ctx context.Context) {
	limit := c.n.config.RemoveSilent
	if limit == 0 || time.Since(c.expelled) < expelAgain {
		return
	}
	for m := range c.n.replica.View().Members() {
		id := raft.ServerID(m.ID)
		silent := time.Since(later(c.n.roll.of(id).at, c.n.roll.started()))
		if id == c.n.replica.ID() || silent < limit {
			continue
		}
		c.expelled = time.Now()
		ctx, cancel := context.WithTimeout(ctx, proposalTime)
		defer cancel()
		_, err := c.n.replica.Propose(ctx, c.n.act("it was silent for "+limit.String()), state.RemoveMember{ID: m.ID})
		if err != nil {
			c.n.log.Warn("a silent member is not removed", "member", m.Name, "silent", silent.Round(time.Second), "error", err)
			return
		}
		c.n.log.Warn("a member was silent for too long and is removed", "member", m.Name, "silent", silent.Round(time.Second))
		return
	}
}
