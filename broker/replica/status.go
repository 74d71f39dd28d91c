package replica

import (
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

// Status is what a person may want to know of a replica.
type Status struct {
	ID      raft.ServerID
	Leader  raft.ServerID // "" if none is known
	Leading bool
	Term    uint64

	LastIndex     uint64 // newest entry on this node's disk
	CommitIndex   uint64
	AppliedIndex  uint64 // newest command that the state has
	SnapshotIndex uint64 // 0 if none was taken

	Staleness time.Duration
	Heard     bool // false: no leader was heard since this process started

	Members []Member
}

// Member is one node of the cluster.
type Member struct {
	ID      raft.ServerID
	Address raft.ServerAddress
	Voter   bool
}

// Status returns how the replica fares.
func (r *Replica) Status() Status {
	running := r.raft.Load()
	_, leader := running.LeaderWithID()
	s := Status{
		ID: r.me.id, Leader: leader, Leading: r.Leading(), Term: running.CurrentTerm(),
		LastIndex: running.LastIndex(), CommitIndex: running.CommitIndex(), AppliedIndex: r.View().Index(),
	}
	s.SnapshotIndex, _ = strconv.ParseUint(running.Stats()["last_snapshot_index"], 10, 64) // raft writes a number
	s.Staleness, s.Heard = r.Staleness()
	for _, member := range r.members() {
		s.Members = append(s.Members, Member{member.ID, member.Address, member.Suffrage == raft.Voter})
	}
	return s
}
