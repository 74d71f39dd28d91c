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
	if len(body) == 0 || len(body) > state.MaxMemberAddressBytes {
		return nil, broker.Refuse(broker.InvalidArgument, "an address has 1 to %d bytes", state.MaxMemberAddressBytes)
	}
	r.whereabouts.note(from.ID, raft.ServerAddress(body))
	return nil, nil
}

// announce tells each member once where this one is, however long it takes.
func (r *Replica) announce(ctx context.Context) {
	told := map[raft.ServerID]bool{r.me.id: true}
	for {
		all := true
		for _, seed := range r.seeds() {
			if told[seed.ID] {
				continue
			}
			attempt, cancel := context.WithTimeout(ctx, herePause)
			_, err := r.line.Call(attempt, seed.ID, hereCall, []byte(r.Advertised()))
			cancel()
			told[seed.ID] = err == nil
			all = all && err == nil
		}
		if all {
			return
		}
		select {
		case <-time.After(herePause):
		case <-ctx.Done():
			return
		}
	}
}
