package node

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

// catchUp is how many log entries a new member may be behind when it is given its vote.
const catchUp = 256

// tend is the leader's care of the other members, each second: it asks them how
// they are, brings raft's membership to what the state says, and says who is alive.
func (n *Node) tend(ctx context.Context) {
	n.roll.begin(time.Now())
	defer func() { n.roll.begin(time.Now()) }() // what was heard is of this leadership
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	care := care{n: n, silent: map[raft.ServerID]bool{}, leaving: map[raft.ServerID]time.Time{}}
	for {
		n.roll.note(n.callRoll(ctx, n.others()))
		if ctx.Err() != nil {
			return
		}
		care.membership()
		care.duties(ctx)
		care.watch()
		care.expel(ctx)
		care.compare(ctx)
		select {
		case <-ticker.C:
		case <-n.admitted: // somebody waits to be let in
		case <-ctx.Done():
			return
		}
	}
}

// others are the members that the state knows, without this node.
func (n *Node) others() []raft.ServerID {
	var ids []raft.ServerID
	for m := range n.replica.View().Members() {
		if id := raft.ServerID(m.ID); id != n.replica.ID() {
			ids = append(ids, id)
		}
	}
	return ids
}

// care is what one leader remembers from one second to the next.
type care struct {
	n       *Node
	wanted  []string // who was alive at the last look
	silent  map[raft.ServerID]bool
	leaving map[raft.ServerID]time.Time // removed members, and since when
	// expelled is when a silent member was removed, or could not be.
	expelled time.Time
}

// membership makes raft's membership what the state says, one step a look.
func (c *care) membership() {
	status := c.n.replica.Status()
	serving := make(map[raft.ServerID]replica.Member, len(status.Members))
	for _, m := range status.Members {
		serving[m.ID] = m
	}
	view := c.n.replica.View()
	for m := range view.Members() {
		c.settle(m, serving, status.CommitIndex)
	}
	for _, m := range status.Members {
		if _, gone := view.Removed(string(m.ID)); gone {
			c.dismiss(m.ID, view)
		}
	}
}

// settle takes the next step with one member that should be there.
func (c *care) settle(m state.Member, serving map[raft.ServerID]replica.Member, commit uint64) {
	id, address := raft.ServerID(m.ID), raft.ServerAddress(m.Address)
	now, there := serving[id]
	var err error
	switch {
	case !there, now.Address != address && !now.Voter:
		err = c.n.replica.AddMember(id, address)
	case now.Address != address:
		err = c.n.replica.Promote(id, address)
	case !now.Voter && c.n.roll.of(id).LastIndex+catchUp >= commit && c.n.roll.of(id).err == nil && !c.n.roll.of(id).at.IsZero():
		if err = c.n.replica.Promote(id, address); err == nil {
			c.n.log.Info("a member has caught up and votes now", "member", m.Name, "id", m.ID)
		}
	}
	if err != nil {
		c.n.log.Warn("the membership could not be changed yet", "member", m.Name, "error", err)
	}
}

// farewell is how long a removed member is still sent the log, so that it hears of its removal.
const farewell = 3 * time.Second

// dismiss takes a removed member out, once it has heard of it or had its time.
func (c *care) dismiss(id raft.ServerID, view *state.View) {
	if _, noted := c.leaving[id]; !noted {
		c.leaving[id] = time.Now()
	}
	gone, _ := view.Removed(string(id))
	if !gone.Compromised && id != c.n.replica.ID() && time.Since(c.leaving[id]) < farewell {
		return
	}
	if err := c.n.replica.DropMember(id); err != nil {
		c.n.log.Warn("a removed member could not be taken out yet", "member", gone.Name, "error", err)
		return
	}
	delete(c.leaving, id)
	c.n.log.Info("a member is out", "member", gone.Name, "id", id)
}

// duties publishes who is alive when it differs for two looks.
func (c *care) duties(ctx context.Context) {
	view := c.n.replica.View()
	live := append(c.n.roll.live(time.Now()), string(c.n.replica.ID()))
	live = slices.DeleteFunc(live, func(id string) bool { _, known := view.Member(id); return !known })
	slices.Sort(live)
	published := view.Duties()
	steady := slices.Equal(live, c.wanted)
	c.wanted = live
	if slices.Equal(live, published.Live) || len(live) == 0 || !steady || view.MemberCount() == 1 && len(published.Live) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, proposalTime)
	defer cancel()
	_, err := c.n.replica.Propose(ctx, c.n.act("who is alive"), state.PutDuties{Duties: state.Duties{Epoch: published.Epoch + 1, Live: live}})
	if err != nil {
		c.n.log.Warn("who is alive could not be published", "error", err)
	}
}

// watch says when a member stops answering, and when it answers again.
func (c *care) watch() {
	for m := range c.n.replica.View().Members() {
		id := raft.ServerID(m.ID)
		if id == c.n.replica.ID() {
			continue
		}
		h := c.n.roll.of(id)
		last := later(h.at, c.n.roll.started())
		silent := time.Since(last) > silentAfter
		if silent == c.silent[id] {
			continue
		}
		c.silent[id] = silent
		if silent {
			c.n.log.Warn("a member does not answer", "member", m.Name, "id", m.ID, "address", m.Address, "since", last, "error", h.err)
		} else {
			c.n.log.Info("a member answers again", "member", m.Name, "id", m.ID)
		}
	}
}

// proposalTime bounds what a machine of this node proposes by itself.
const proposalTime = 10 * time.Second

func (r *roll) started() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.since
}
