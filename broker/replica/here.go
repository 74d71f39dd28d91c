package replica

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// A node that starts may be reached elsewhere than before. Until a leader has
// brought that into the membership, which takes a majority, the other members are
// told directly: a majority may be what is missing.

const (
	hereCall  = "here"
	herePause = time.Second
)

// whereabouts are where members said that they are, since this process started.
type whereabouts struct {
	mu   sync.Mutex
	said map[raft.ServerID]raft.ServerAddress
}

func (w *whereabouts) note(id raft.ServerID, address raft.ServerAddress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said == nil {
		w.said = make(map[raft.ServerID]raft.ServerAddress)
	}
	w.said[id] = address
}

// of returns where a member said that it is; configured if it said nothing.
func (w *whereabouts) of(id raft.ServerID, configured raft.ServerAddress) raft.ServerAddress {
	w.mu.Lock()
	defer w.mu.Unlock()
	if said, ok := w.said[id]; ok && id != "" {
		return said
	}
	return configured
}

// here answers a member that says where it is.
func (r *Replica) here(_ context.Context, from Peer, body []byte) ([]byte, error) {
	if !state.Dialable(string(body)) {
		return nil, broker.Refuse(broker.InvalidArgument, "%.80q is not host:port of at most %d bytes", body, state.MaxMemberAddressBytes)
	}
	r.whereabouts.note(from.ID, raft.ServerAddress(body))
	return nil, nil
}

// announce tells the other members where this one is, until the membership does.
func (r *Replica) announce(ctx context.Context) {
	for r.configured() != r.Advertised() {
		for _, seed := range r.seeds() {
			if seed.ID == r.me.id {
				continue
			}
			attempt, cancel := context.WithTimeout(ctx, herePause)
			_, _ = r.line.Call(attempt, seed.ID, hereCall, []byte(r.Advertised())) // who does not hear it is told again
			cancel()
		}
		select {
		case <-time.After(herePause):
		case <-ctx.Done():
			return
		}
	}
}

// configured is where the membership says that this node is; "" if it is not in it.
func (r *Replica) configured() raft.ServerAddress {
	for _, member := range r.members() {
		if member.ID == r.me.id {
			return member.Address
		}
	}
	return ""
}
