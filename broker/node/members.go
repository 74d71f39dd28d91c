package node

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
)

const (
	reportCall = "report"
	// reportTime bounds the asking of one member, and lookInterval is how often
	// the leader asks all.
	reportTime   = 900 * time.Millisecond
	lookInterval = time.Second
	// silentAfter is how long a member may not answer until its work is given to others.
	silentAfter = 5 * time.Second
)

// report is what a member says of itself.
type report struct {
	Name        string        `json:"name"`
	Version     string        `json:"version"`
	Incarnation uint64        `json:"incarnation"`
	Clock       time.Time     `json:"clock"`
	Leading     bool          `json:"leading"`
	Term        uint64        `json:"term"`
	LastIndex   uint64        `json:"last_index"`
	Applied     uint64        `json:"applied"`
	Digest      string        `json:"digest"` // of the state at Applied
	Staleness   time.Duration `json:"staleness"`
	Heard       bool          `json:"heard"`
	Ready       bool          `json:"ready"`
	Reasons     []string      `json:"reasons,omitempty"`
	Polls       int           `json:"polls"` // peers that it follows
	KEKs        kekReport     `json:"keks"`
	KeyCare     string        `json:"key_care,omitempty"` // of the leader: why it has not done what the keys need
	DiskFree    uint64        `json:"disk_free"`
	DiskSize    uint64        `json:"disk_size"`
}

// report is this node's, now.
func (n *Node) report() report {
	status := n.replica.Status()
	view := n.replica.View()
	digest := view.Digest()
	ready := n.readiness()
	r := report{
		Name: n.config.NodeName, Version: n.version, Incarnation: n.replica.Incarnation(), Clock: n.around.now(),
		Leading: status.Leading, Term: status.Term, LastIndex: status.LastIndex, Applied: view.Index(), Digest: hex.EncodeToString(digest[:]),
		Staleness: status.Staleness, Heard: status.Heard, Ready: ready.Ready, Reasons: ready.Reasons, Polls: n.pool.Following(),
	}
	r.KEKs = n.kekReport()
	if care := n.keyCare.Load(); care != nil && r.Leading {
		r.KeyCare = *care
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(n.dir.raft(), &disk); err == nil {
		r.DiskFree, r.DiskSize = disk.Bavail*uint64(disk.Bsize), disk.Blocks*uint64(disk.Bsize)
	}
	return r
}

// heard is the newest report of a member.
type heard struct {
	report
	at     time.Time // when it came
	here   time.Time // what this node's clock showed then
	offset time.Duration
	err    error // of the last attempt
}

// roll is what this node has heard of the other members.
type roll struct {
	mu     sync.Mutex
	heard  map[raft.ServerID]heard
	since  time.Time // when it began to ask
	spread map[string]uint64
}

// call asks the members for their reports, all at once.
func (n *Node) callRoll(ctx context.Context, ids []raft.ServerID) map[raft.ServerID]heard {
	out := make(map[raft.ServerID]heard, len(ids))
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			h := n.askReport(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			out[id] = h
		})
	}
	all.Wait()
	return out
}

func (n *Node) askReport(ctx context.Context, id raft.ServerID) heard {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	begun := time.Now()
	text, err := n.replica.Call(ctx, id, reportCall, nil)
	var h heard
	if err == nil {
		err = json.Unmarshal(text, &h.report)
	}
	if err != nil {
		return heard{err: err}
	}
	h.at = time.Now()
	h.here = n.around.now()
	// Its clock was read some time during the call.
	h.offset = h.Clock.Sub(h.here.Add(-h.at.Sub(begun) / 2))
	return h
}

// off is how far the member's clock is from this node's, which shows now: it may
// have been set since.
func (h heard) off(now time.Time) time.Duration {
	set := now.Round(0).Sub(h.here.Round(0)) - time.Since(h.at)
	return h.offset - set
}

// note keeps what was heard; who did not answer keeps the last report.
func (r *roll) note(now map[raft.ServerID]heard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard == nil {
		r.heard = make(map[raft.ServerID]heard)
	}
	for id, h := range now {
		if h.err != nil {
			last := r.heard[id]
			last.err = h.err
			h = last
		}
		r.heard[id] = h
	}
	for id := range r.heard {
		if _, member := now[id]; !member {
			delete(r.heard, id)
		}
	}
}

func (r *roll) begin(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard, r.since, r.spread = nil, now, map[string]uint64{}
}

func (r *roll) of(id raft.ServerID) heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.heard[id]
}

// answers reports whether a member answered when it was asked last, and whether
// it was asked since this node leads.
func (r *roll) answers(id raft.ServerID) (answers, known bool) {
	h := r.of(id)
	return h.err == nil, h.err != nil || !h.at.IsZero()
}

// live are the members that answered lately.
func (r *roll) live(now time.Time) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for id, h := range r.heard {
		if !h.at.IsZero() && now.Sub(h.at) < silentAfter {
			ids = append(ids, string(id))
		}
	}
	return ids
}

// company is the other members, for rotation, which runs on the leader.
type company struct{ n *Node }

// clockTolerance is how far clocks may be apart (DESIGN §2.13).
const clockTolerance = time.Minute

// Now implements rotate.Cluster.
func (c company) Now() time.Time { return c.n.around.now() }

// ClocksAgree implements rotate.Cluster.
func (c company) ClocksAgree() error {
	members, agree := 1, 1
	var off []string
	for m := range c.n.replica.View().Members() {
		if m.ID == string(c.n.replica.ID()) {
			continue
		}
		members++
		h := c.n.roll.of(raft.ServerID(m.ID))
		offset := h.off(c.Now())
		switch {
		case h.at.IsZero() || time.Since(h.at) > silentAfter:
			off = append(off, m.Name+" does not answer")
		case offset.Abs() > clockTolerance:
			off = append(off, fmt.Sprintf("%s is %s off", m.Name, offset.Round(time.Second)))
		default:
			agree++
		}
	}
	if agree*2 > members {
		return nil
	}
	slices.Sort(off)
	return fmt.Errorf("the clocks of %d of %d members are within %s of this node's, a majority is needed (%v): set the clocks, nothing is rotated or removed until then",
		agree, members, clockTolerance, off)
}

// clocksAgree is ClocksAgree, or Unavailable while the others were not asked since
// this node leads.
func (c company) clocksAgree() error {
	err := c.ClocksAgree()
	if err != nil && time.Since(c.n.roll.started()) < silentAfter {
		for _, id := range c.n.others() {
			if _, known := c.n.roll.answers(id); !known {
				return broker.Refuse(broker.Unavailable, "whether the members' clocks agree is not known yet: nothing was changed; try again in a moment")
			}
		}
	}
	return err
}

// Spread implements rotate.Cluster.
func (c company) Spread(a ca.Authority) error {
	r := &c.n.roll
	view := c.n.replica.View()
	r.mu.Lock()
	defer r.mu.Unlock()
	index, known := r.spread[a.ID]
	if !known { // it is in this view: whoever has applied as much has published it
		if r.spread == nil {
			r.spread = map[string]uint64{}
		}
		index = view.Index()
		r.spread[a.ID] = index
	}
	for m := range view.Members() {
		if m.ID == string(c.n.replica.ID()) {
			continue
		}
		h := r.heard[raft.ServerID(m.ID)]
		if h.Applied >= index {
			continue
		}
		silent := time.Since(cmp.Or(later(h.at, r.since), r.since))
		if silent <= c.n.config.MaxStaleness {
			return fmt.Errorf("member %s has not published %s authority %s yet: it has log index %d, %d is needed; it is waited for, at most until it has been silent for %s",
				m.Name, a.Use, a.ID, h.Applied, index, c.n.config.MaxStaleness)
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// errRemoved is why a node ends that is no member any more.
var errRemoved = errors.New("this node was removed from the cluster: empty its data directory and join with a new token to bring the machine back")

// watchItself follows what the state says of this node. A node that was removed
// ends: every member would refuse it; that it was is kept, because after a restart
// nobody would tell it. An agent of this node that was deleted, which is how a ban is
// lifted, attests again.
func (n *Node) watchItself(ctx context.Context) error {
	watcher := n.replica.Feed().Watch()
	for {
		view, change, err := watcher.Wait(ctx)
		if err != nil {
			return err
		}
		if change.Members {
			ring(n.admitted) // somebody joined, goes, or has another address
		}
		if _, there := view.Agent(n.truth.agent); !there && change.Agents {
			if err := n.registerAgent(ctx); err != nil {
				n.log.Warn("this node's agent was deleted and could not attest again", "error", err)
			}
		}
		gone, ok := view.Removed(string(n.replica.ID()))
		if !ok {
			continue
		}
		if err := os.WriteFile(n.dir.removal(), []byte(gone.At.Format(time.RFC3339)), 0o600); err != nil {
			n.log.Warn("that this node was removed could not be kept", "error", err)
		}
		return errRemoved
	}
}
