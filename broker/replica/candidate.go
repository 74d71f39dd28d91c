package replica

import (
	"slices"

	"github.com/hashicorp/raft"
)

// A member that lags behind a join does not know the newcomer, and raft refuses a
// vote to a candidate that the voter's own membership does not name. If the
// leader dies then, nobody may be left who can be elected: the newcomer has the
// longest log, and the laggard's vote is needed. But who is connected has shown that
// it was admitted (roster.go), and Raft asks a voter about logs and terms only. So
// a candidate that is not known as a voter asks in the name of one: raft looks at
// the name for nothing else, and writes down the address.

// named is a call for a vote in a name that raft accepts.
func (t *ballots) named(command any) any {
	switch asked := command.(type) {
	case *raft.RequestVoteRequest:
		other := *asked
		other.ID = t.voter(other.ID)
		return &other
	case *raft.RequestPreVoteRequest:
		other := *asked
		other.ID = t.voter(other.ID)
		return &other
	}
	return command
}

// voter returns id if this node knows that it votes, and else another one that does.
func (r *Replica) voter(id []byte) []byte {
	var voters []raft.ServerID
	for _, m := range r.members() {
		if m.Suffrage == raft.Voter {
			voters = append(voters, m.ID)
		}
	}
	if len(voters) == 0 || slices.Contains(voters, raft.ServerID(id)) {
		return id
	}
	return []byte(voters[0])
}
