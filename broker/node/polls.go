package node

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/fetch"
)

// The calls with which a member asks another about the peers that it follows.
const (
	pollsCall   = "polls"
	refreshCall = "refresh"

	// pollsTime bounds the asking for statuses, pollsAge is how old an answer may be.
	pollsTime = time.Second
	pollsAge  = time.Second

	// refreshTime bounds a refresh, wherever the peer is followed.
	refreshTime = time.Minute
)

// polls is how peers fare, whichever member follows them.
type polls struct {
	n *Node

	mu    sync.Mutex
	known map[raft.ServerID]polled
}

type polled struct {
	at       time.Time
	statuses map[string]federation.Status // by trust domain
}

// Status implements registrar.Peers.
func (p *polls) Status(td spiffeid.TrustDomain) (federation.Status, bool) {
	owner := follower(p.n.replica.View(), td)
	if owner == p.n.replica.ID() {
		return p.n.pool.Status(td)
	}
	if owner == "" {
		return federation.Status{}, false
	}
	s, ok := p.of(owner)[td.Name()]
	return s, ok
}

// of returns what another member says of those that it follows; nothing if it
// does not answer.
func (p *polls) of(owner raft.ServerID) map[string]federation.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last, ok := p.known[owner]; ok && time.Since(last.at) < pollsAge {
		return last.statuses
	}
	ctx, cancel := context.WithTimeout(context.Background(), pollsTime)
	defer cancel()
	now := polled{}
	text, err := p.n.replica.Call(ctx, owner, pollsCall, nil)
	if err == nil {
		err = json.Unmarshal(text, &now.statuses)
	}
	if err != nil {
		p.n.log.Warn("a member does not say how the peers fare that it follows", "member", owner, "error", err)
	}
	now.at = time.Now()
	if p.known == nil {
		p.known = make(map[raft.ServerID]polled)
	}
	p.known[owner] = now
	return now.statuses
}

// Refresh implements registrar.Peers. Who follows a peer may be changing: the
// next one is waited for.
func (p *polls) Refresh(ctx context.Context, td spiffeid.TrustDomain) (federation.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	for {
		s, err := p.refresh(ctx, td)
		if _, related := p.n.replica.View().Relationship(td); err == nil || !related {
			return s, err
		}
		select {
		case <-time.After(leaderLook):
		case <-ctx.Done():
			p.n.log.Warn("a peer could not be refreshed", "trust_domain", td.Name(), "error", err)
			return s, broker.Refuse(broker.Unavailable, "the member that follows %s does not answer, and no other has taken over yet: try again in a moment", td)
		}
	}
}

func (p *polls) refresh(ctx context.Context, td spiffeid.TrustDomain) (federation.Status, error) {
	owner := follower(p.n.replica.View(), td)
	switch owner {
	case p.n.replica.ID():
		return p.n.pool.Refresh(ctx, td)
	case "":
		return federation.Status{}, fetch.ErrNotRunning
	}
	text, err := p.n.replica.Call(ctx, owner, refreshCall, []byte(td.Name()))
	if err != nil {
		return federation.Status{}, fmt.Errorf("refresh %s on the member that follows it: %w", td, err)
	}
	var s federation.Status
	return s, json.Unmarshal(text, &s)
}

// answerPolls answers other members.
func (n *Node) answerPolls() {
	n.replica.Handle(pollsCall, answering(func(context.Context, []byte) (any, error) { return n.pool.Statuses(), nil }))
	n.replica.Handle(refreshCall, answering(func(ctx context.Context, body []byte) (any, error) {
		td, err := spiffeid.TrustDomainFromString(string(body))
		if err != nil {
			return nil, broker.Refuse(broker.InvalidArgument, "%v", err)
		}
		return n.pool.Refresh(ctx, td)
	}))
}
