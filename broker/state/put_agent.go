package state

import (
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/workload"
)

// PutAgent makes or replaces the record of an agent. It never lifts a ban: an
// agent that attests again read its record before it was banned.
type PutAgent struct {
	Agent Agent
}

func (c PutAgent) kind() kind      { return kindPutAgent }
func (c PutAgent) subject() string { return subject(agentShape.name, c.Agent.ID.String()) }

func (c PutAgent) fields(v visitor) Command {
	v.group(1, "agent", func() { agentFields(v, &c.Agent) })
	return c
}

// Validate says what is wrong with the agent.
func (c PutAgent) Validate() error { return c.Agent.Validate() }

func (c PutAgent) apply(d *draft) error {
	h, err := d.home()
	if err != nil {
		return err
	}
	next := &c.Agent
	if !next.ID.MemberOf(h.TrustDomain) || !workload.IsAgent(next.ID) {
		return broker.Refuse(broker.InvalidArgument, "agent %q is not below %s%s", next.ID, h.TrustDomain.IDString(), workload.AgentPath)
	}
	before := d.agents.get(next.ID.String())
	switch {
	case before != nil && before.Banned && !next.Banned:
		return broker.Refuse(broker.PermissionDenied, "agent %s is banned: delete it to let it attest again", next.ID)
	case d.agents.same(before, next):
		return nil
	}
	d.agents.put(d, next)
	d.change.Agents = true
	return nil
}
