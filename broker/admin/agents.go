package admin

import (
	"context"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

// agentFilters are what a listing of agents may ask for.
var agentFilters = []string{"method", "selector", "banned", "can_reattest", "expires_before"}

func (s *server) listAgents(ctx context.Context, who broker.Caller, r *request) (any, error) {
	page, err := r.page()
	if err != nil {
		return nil, err
	}
	filter, err := r.agentFilter()
	if err != nil {
		return nil, err
	}
	list, err := s.registrar.Agents(ctx, who, filter, page)
	if err != nil {
		return nil, err
	}
	out := client.Agents{Agents: []client.Agent{}, Page: client.Page{Next: list.Next, Index: list.Index}}
	for _, a := range list.Items {
		out.Agents = append(out.Agents, showAgent(&a))
	}
	return out, nil
}

// agentFilter reads method, selector (repeated: all of them), banned,
// can_reattest and expires_before.
func (r *request) agentFilter() (f registrar.AgentFilter, err error) {
	f.Method = r.query.Get("method")
	if f.Selectors, err = r.selectors(); err != nil {
		return f, err
	}
	if f.Banned, err = r.maybe("banned"); err != nil {
		return f, err
	}
	if f.CanReattest, err = r.maybe("can_reattest"); err != nil {
		return f, err
	}
	f.ExpiresBefore, err = r.moment("expires_before")
	return f, err
}

func (s *server) getAgent(ctx context.Context, who broker.Caller, r *request) (any, error) {
	in, err := r.agent()
	if err != nil {
		return nil, err
	}
	agent, err := s.registrar.Agent(ctx, who, in.ID)
	if err != nil {
		return nil, err
	}
	return showAgent(&agent), nil
}

func (s *server) banAgent(ctx context.Context, who broker.Caller, r *request) (any, error) {
	in, err := r.agent()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.BanAgent(ctx, who, in)
	return outcome(out, err, showAgent)
}

func (s *server) deleteAgent(ctx context.Context, who broker.Caller, r *request) (any, error) {
	in, err := r.agent()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.DeleteAgent(ctx, who, in)
	return outcome(out, err, showAgent)
}

// agent reads which agent a request is about.
func (r *request) agent() (in registrar.ChangeAgent, err error) {
	text, err := r.segment("id")
	if err != nil {
		return in, err
	}
	if in.ID, err = spiffeID("agent ID in the path", text); err != nil {
		return in, err
	}
	in.DryRun, err = r.dryRun()
	return in, err
}

func showAgent(a *registrar.Agent) client.Agent {
	return client.Agent{
		ID: a.ID.String(), Method: a.Method, Selectors: texts(a.Selectors), CertSerial: a.CertSerial, CertNotAfter: a.CertNotAfter,
		AttestedAt: a.AttestedAt, Banned: a.Banned, Version: a.Version,
	}
}
