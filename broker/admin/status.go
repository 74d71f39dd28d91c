package admin

import (
	"context"
	"encoding/hex"
	"net/http"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

func (s *server) status(ctx context.Context, who broker.Caller, _ *request) (any, error) {
	st, err := s.registrar.Status(ctx, who)
	if err != nil {
		return nil, err
	}
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
			break
		}
	}
	out := client.Status{
		TrustDomain: st.TrustDomain.Name(), Node: st.Node.Name, Version: st.Node.Version, StartedAt: st.Node.StartedAt,
		Ready: st.Node.Ready, Reasons: append([]string{}, st.Node.Reasons...), Leader: st.Node.Leader, Leading: st.Node.Leading,
		Members: []client.Member{}, Index: st.Index, Digest: hex.EncodeToString(st.Digest[:]), Staleness: client.Duration(st.Node.Staleness),
		Sequence: st.Sequence, Entries: st.Entries, Bundles: st.Bundles, Agents: st.Agents, Peers: states, Addresses: st.Node.Addresses,
		Settings: showSettings(st.Settings),
	}
	for _, m := range st.Node.Members {
		out.Members = append(out.Members, client.Member{ID: m.ID, Address: m.Address, Voter: m.Voter})
	}
	return out, nil
}

func showSettings(s registrar.Settings) client.Settings {
	return client.Settings{
		RefreshHint: client.Duration(s.RefreshHint), PublicationWindow: client.Duration(s.PublicationWindow),
		X509TTL: client.Duration(s.X509TTL), JWTTTL: client.Duration(s.JWTTTL),
		IntermediateTTL: client.Duration(s.IntermediateTTL), RootTTL: client.Duration(s.RootTTL),
	}
}

// auditTrail answers with records; it is completed with the audit routes.
func (s *server) auditTrail(w http.ResponseWriter, r *http.Request) { s.noRoute(w, r) }
