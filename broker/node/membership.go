package node

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

// membership is the cluster as the registrar wants it.
type membership struct{ n *Node }

// Members implements registrar.Cluster.
func (m membership) Members(ctx context.Context) []registrar.MemberStatus {
	reports := m.n.callRoll(ctx, m.n.others())
	voters := map[string]bool{}
	for _, s := range m.n.replica.Status().Members {
		voters[string(s.ID)] = s.Voter
	}
	var all []registrar.MemberStatus
	for member := range m.n.replica.View().Members() {
		s := registrar.MemberStatus{Member: member, Voter: voters[member.ID]}
		h := reports[raft.ServerID(member.ID)]
		if member.ID == string(m.n.replica.ID()) {
			h = heard{report: m.n.report()}
		}
		if h.err != nil {
			s.Error = h.err.Error()
		} else {
			s.Answers, s.Leading, s.Ready, s.Reasons = true, h.Leading, h.Ready, h.Reasons
			s.Applied, s.LastIndex, s.Digest = h.Applied, h.LastIndex, h.Digest
			s.Staleness, s.Heard, s.Offset, s.Polls = h.Staleness, h.Heard, h.offset, h.Polls
			s.DiskFree, s.DiskSize = h.DiskFree, h.DiskSize
			s.KEK, s.KEKProvided, s.KeyCare = h.KEKs.Seals, h.KEKs.Provided, h.KeyCare
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b registrar.MemberStatus) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// NewJoinToken implements registrar.Cluster.
func (m membership) NewJoinToken(name string, until time.Time) (string, state.JoinToken, error) {
	domain, known := m.n.replica.View().Domain()
	if !known {
		return "", state.JoinToken{}, broker.Refuse(broker.Unavailable, "the trust domain is not set up yet: wait until the node is ready and try again")
	}
	kek, err := m.n.handOverKEK()
	clear(kek) // asked for now only to refuse now what would be refused at the door
	if err != nil {
		return "", state.JoinToken{}, err
	}
	token, err := replica.NewJoinToken()
	if err != nil {
		return "", state.JoinToken{}, err
	}
	token.Name, token.ExpiresAt, token.Cluster, token.Domain, token.Members = name, until.UTC(), domain.ClusterID, domain.TrustDomain.Name(), m.n.replica.Seeds()
	id, err := token.ID()
	if err != nil {
		return "", state.JoinToken{}, err
	}
	text, err := token.Text()
	return text, state.JoinToken{ID: id, Name: name, ExpiresAt: token.ExpiresAt}, err
}

const (
	transferCall = "transfer"
	transferTime = 10 * time.Second
)

// Transfer implements registrar.Cluster.
func (m membership) Transfer(ctx context.Context, to string) error {
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	for {
		_, err := m.n.replica.CallLeader(ctx, transferCall, []byte(to))
		if broker.CodeOf(err) != broker.Unavailable {
			return err
		}
		select { // the one that leads has just begun to
		case <-time.After(leaderLook):
		case <-ctx.Done():
			return err
		}
	}
}

// transfer answers a member that wants another leader.
func (n *Node) transfer(ctx context.Context, to []byte) (any, error) {
	if !n.replica.Leading() {
		return nil, broker.Refuse(broker.Unavailable, "this node does not lead: try again in a moment")
	}
	if raft.ServerID(to) == n.replica.ID() {
		return struct{}{}, nil
	}
	if err := n.replica.Transfer(ctx, raft.ServerID(to)); err != nil {
		return nil, broker.Refuse(broker.FailedPrecondition, "%v: it must be a member that votes and is not far behind", err)
	}
	return struct{}{}, nil
}
