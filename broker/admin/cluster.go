package admin

import (
	"context"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

func (s *server) cluster(ctx context.Context, who broker.Caller, _ *request) (any, error) {
	status, err := s.registrar.Clustered(ctx, who)
	if err != nil {
		return nil, err
	}
	out := client.Cluster{
		Node: status.Node, Members: []client.ClusterMember{}, Index: status.Index, Epoch: status.Epoch,
		Live: append([]string{}, status.Live...), Tolerates: status.Tolerates,
		Keys: showKeyCare(status.Keys),
	}
	var furthest uint64
	for _, m := range status.Members {
		furthest = max(furthest, m.LastIndex)
	}
	for _, m := range status.Members {
		out.Members = append(out.Members, showClusterMember(m, furthest))
	}
	return out, nil
}

func showClusterMember(m registrar.MemberStatus, furthest uint64) client.ClusterMember {
	shown := client.ClusterMember{RegisteredMember: showMember(&m.Member), Voter: m.Voter, Answers: m.Answers, Error: m.Error}
	if !m.Answers {
		return shown
	}
	shown.Leading, shown.Ready, shown.Reasons = m.Leading, m.Ready, m.Reasons
	shown.Applied, shown.LastIndex, shown.Lag, shown.Digest = m.Applied, m.LastIndex, furthest-m.LastIndex, m.Digest
	shown.Staleness, shown.ClockOffset = client.Duration(m.Staleness.Round(time.Millisecond)), client.Duration(m.Offset.Round(time.Millisecond))
	shown.Polls, shown.DiskFree, shown.DiskSize, shown.KEK = m.Polls, m.DiskFree, m.DiskSize, m.KEK
	return shown
}

func showMember(m *registrar.ClusterMember) client.RegisteredMember {
	return client.RegisteredMember{
		ID: m.ID, Name: m.Name, Address: m.Address, Version: m.Version, JoinedAt: m.JoinedAt, Incarnation: m.Incarnation,
	}
}

func (s *server) createJoinToken(ctx context.Context, who broker.Caller, r *request) (any, error) {
	var body client.NewJoinToken
	if err := r.body(&body, "name"); err != nil {
		return nil, err
	}
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.CreateJoinToken(ctx, who, registrar.NewToken{Name: body.Name, TTL: time.Duration(body.TTL), DryRun: dry})
	return outcome(out, err, func(t *registrar.JoinToken) client.JoinToken {
		return client.JoinToken{ID: t.ID, Token: t.Text, Name: t.Name, ExpiresAt: t.ExpiresAt}
	})
}

func (s *server) removeMember(ctx context.Context, who broker.Caller, r *request) (any, error) {
	member, err := r.segment("member")
	if err != nil {
		return nil, err
	}
	compromised, err := r.flag("compromised")
	if err != nil {
		return nil, err
	}
	force, err := r.flag("force")
	if err != nil {
		return nil, err
	}
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.RemoveMember(ctx, who, registrar.RemoveMember{Member: member, Compromised: compromised, Force: force, DryRun: dry})
	return outcome(out, err, showMember)
}

func (s *server) transfer(ctx context.Context, who broker.Caller, r *request) (any, error) {
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.TransferLeadership(ctx, who, r.query.Get("to"), dry)
	return outcome(out, err, func(name *string) client.Leader { return client.Leader{Leader: *name} })
}
