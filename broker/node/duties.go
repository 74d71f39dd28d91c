package node

import (
	"crypto/sha256"

	"github.com/hashicorp/raft"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/state"
)

// Each peer is followed by one member: of those that the leader knows to be
// alive, the one whose hash together with the peer's is highest (rendezvous
// hashing). When a member goes, only its peers move.

// follower returns the member that polls td; "" while the leader has not said
// who is alive.
func follower(view *state.View, td spiffeid.TrustDomain) raft.ServerID {
	live := view.Duties().Live
	if len(live) == 0 {
		return onlyMember(view)
	}
	var best string
	var highest [sha256.Size]byte
	for _, id := range live {
		if score := sha256.Sum256([]byte(td.Name() + "\n" + id)); best == "" || string(score[:]) > string(highest[:]) {
			best, highest = id, score
		}
	}
	return raft.ServerID(best)
}

// onlyMember is the member of a cluster of one.
func onlyMember(view *state.View) raft.ServerID {
	var only string
	for m := range view.Members() {
		if only != "" {
			return ""
		}
		only = m.ID
	}
	return raft.ServerID(only)
}
