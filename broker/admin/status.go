package admin

import (
	"context"
	"encoding/hex"
	"maps"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

func (s *server) status(ctx context.Context, who broker.Caller, _ *request) (any, error) {
	st, err := s.registrar.Status(ctx, who)
	if err != nil {
		return nil, err
	}
	states, err := s.peerStates(ctx, who)
	if err != nil {
		return nil, err
	}
	out := client.Status{
		ClusterID: st.ClusterID, TrustDomain: st.TrustDomain.Name(), Node: st.Node.Name, Version: st.Node.Version, StartedAt: st.Node.StartedAt,
		Ready: st.Node.Ready, Reasons: append([]string{}, st.Node.Reasons...), Leader: st.Node.Leader, Leading: st.Node.Leading,
		Members: []client.Member{}, Index: st.Index, Digest: hex.EncodeToString(st.Digest[:]), AuditHead: hex.EncodeToString(st.AuditHead[:]), Staleness: client.Duration(st.Node.Staleness),
		Sequence: st.Sequence, Entries: st.Entries, Bundles: st.Bundles, Agents: st.Agents, Peers: states, Addresses: map[string]string{},
		Settings: showSettings(&st.Settings),
	}
	maps.Copy(out.Addresses, st.Node.Addresses)
	for _, m := range st.Node.Members {
		out.Members = append(out.Members, client.Member{ID: m.ID, Name: m.Name, Address: m.Address, Voter: m.Voter})
	}
	return out, nil
}

// peerStates counts the relationships by state.
func (s *server) peerStates(ctx context.Context, who broker.Caller) (map[string]int, error) {
	states := map[string]int{}
	for token := ""; ; {
		list, err := s.registrar.Relationships(ctx, who, registrar.Page{Size: registrar.MaxPageSize, Token: token})
		if err != nil {
			return nil, err
		}
		for _, p := range list.Items {
			states[showPeer(p).Status.State]++
		}
		if token = list.Next; token == "" {
			return states, nil
		}
	}
}
