package registrar

import (
	"context"
	"iter"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// Agent is a host that has shown what it is.
type Agent = state.Agent

// AgentFilter says which agents are asked for: those that pass all that is
// set. The zero value asks for every agent.
type AgentFilter struct {
	Method        string
	Selectors     *SelectorMatch
	Banned        *bool
	CanReattest   *bool
	ExpiresBefore time.Time // its SVID ends before
}

// CanReattest reports whether an agent can show what it is again by itself.
// Only a join token is good for once.
func CanReattest(a Agent) bool { return a.Method != "join_token" }

// Agent returns an agent, NotFound if there is none with that ID.
func (r *Registrar) Agent(ctx context.Context, who broker.Caller, id spiffeid.ID) (Agent, error) {
	view, err := r.read(ctx, who, "read agents")
	if err != nil {
		return Agent{}, err
	}
	if agent, ok := view.Agent(id); ok {
		return agent, nil
	}
	return confirmed(ctx, r, func() (Agent, error) {
		agent, ok := r.parts.Ledger.View().Agent(id)
		if !ok {
			return Agent{}, noSuchAgent(id)
		}
		return agent, nil
	})
}

// Agents lists agents by ID.
func (r *Registrar) Agents(ctx context.Context, who broker.Caller, filter AgentFilter, page Page) (Listing[Agent], error) {
	view, err := r.read(ctx, who, "list agents")
	if err != nil {
		return Listing[Agent]{}, err
	}
	keep, err := filter.compile()
	if err != nil {
		return Listing[Agent]{}, err
	}
	return list(kindAgents, page, view.Index(), func(string) iter.Seq[Agent] {
		return view.Agents()
	}, func(a Agent) string { return a.ID.String() }, keep)
}

// CountAgents counts the agents that pass filter.
func (r *Registrar) CountAgents(ctx context.Context, who broker.Caller, filter AgentFilter) (int, error) {
	view, err := r.read(ctx, who, "count agents")
	if err != nil {
		return 0, err
	}
	keep, err := filter.compile()
	if err != nil {
		return 0, err
	}
	count := 0
	for a := range view.Agents() {
		if keep(a) {
			count++
		}
	}
	return count, nil
}

func (f AgentFilter) compile() (func(Agent) bool, error) {
	selectors, err := f.Selectors.compile()
	if err != nil {
		return nil, err
	}
	return func(a Agent) bool {
		return (f.Method == "" || a.Method == f.Method) &&
			(f.Banned == nil || a.Banned == *f.Banned) &&
			(f.CanReattest == nil || CanReattest(a) == *f.CanReattest) &&
			(f.ExpiresBefore.IsZero() || a.CertNotAfter.Before(f.ExpiresBefore)) &&
			selectors(a.Selectors)
	}, nil
}

// ChangeAgent asks for an agent to be banned, or forgotten.
type ChangeAgent struct {
	ID     spiffeid.ID
	DryRun bool
}

// BanAgent bans an agent: it gets no identities any more and cannot attest
// again until it is deleted. NotFound if there is none.
func (r *Registrar) BanAgent(ctx context.Context, who broker.Caller, in ChangeAgent) (Outcome[Agent], error) {
	return r.changeAgent(ctx, who, "ban", in, func(before *Agent) (state.Command, error) {
		if before == nil {
			return nil, noSuchAgent(in.ID)
		}
		banned := *before
		banned.Banned = true
		return state.PutAgent{Agent: banned}, nil
	})
}

// DeleteAgent forgets an agent and its ban; it may attest again. NotFound if
// there is none.
func (r *Registrar) DeleteAgent(ctx context.Context, who broker.Caller, in ChangeAgent) (Outcome[Agent], error) {
	return r.changeAgent(ctx, who, "delete", in, func(*Agent) (state.Command, error) {
		return state.DeleteAgent{ID: in.ID}, nil
	})
}

func (r *Registrar) changeAgent(ctx context.Context, who broker.Caller, verb string, in ChangeAgent, command func(before *Agent) (state.Command, error)) (Outcome[Agent], error) {
	out := Outcome[Agent]{DryRun: in.DryRun}
	if err := may(who, verb+" agents", broker.RoleAdmin); err != nil {
		return out, err
	}
	act, err := act(who, verb+" agent", in.ID)
	if err != nil {
		return out, err
	}
	c, err := confirmed(ctx, r, func() (state.Command, error) {
		if before, ok := r.parts.Ledger.View().Agent(in.ID); ok {
			out.Before = &before
		}
		return command(out.Before)
	})
	if err != nil {
		return out, err
	}
	view, index, err := r.carryOut(ctx, act, c, in.DryRun)
	out.Index = index
	if err != nil {
		return out, err
	}
	if after, ok := view.Agent(in.ID); ok {
		out.After = &after
	}
	return out, nil
}

func noSuchAgent(id spiffeid.ID) error {
	return broker.Refuse(broker.NotFound, "there is no agent with ID %.80q", id)
}
