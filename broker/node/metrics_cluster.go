package node

import (
	"time"

	"github.com/hashicorp/raft"
)

var (
	metricMembers      = describe("members", "Members of the cluster.")
	metricFollowed     = describe("peers_followed", "Peers that this member polls.")
	metricDiskFree     = describe("disk_free_bytes", "Space that is left where the data is.")
	metricMemberSilent = describe("member_silent_seconds", "On the leader: seconds since a member last answered.", "member")
	metricMemberBehind = describe("member_behind_entries", "On the leader: log entries that a member, when it last answered, had not applied.", "member")
	metricMemberOffset = describe("member_clock_offset_seconds", "On the leader: a member's clock less this one.", "member")
)

// cluster is what this member knows of the others. Only the leader asks them.
func (c collector) cluster(out sink) {
	view, mine := c.n.replica.View(), c.n.report()
	out.gauge(metricMembers, float64(view.MemberCount()))
	out.gauge(metricFollowed, float64(mine.Polls))
	out.gauge(metricDiskFree, float64(mine.DiskFree))
	if !mine.Leading {
		return
	}
	for m := range view.Members() {
		if raft.ServerID(m.ID) == c.n.replica.ID() {
			out.gauge(metricMemberSilent, 0, m.Name)
			out.gauge(metricMemberBehind, 0, m.Name)
			out.gauge(metricMemberOffset, 0, m.Name)
			continue
		}
		h := c.n.roll.of(raft.ServerID(m.ID))
		out.gauge(metricMemberSilent, time.Since(later(h.at, c.n.roll.started())).Seconds(), m.Name)
		if !h.at.IsZero() {
			out.gauge(metricMemberBehind, float64(mine.LastIndex-min(h.Applied, mine.LastIndex)), m.Name)
			out.gauge(metricMemberOffset, h.off(c.n.around.now()).Seconds(), m.Name)
		}
	}
}
