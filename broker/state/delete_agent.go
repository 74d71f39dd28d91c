package state

import (
	"errors"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
)

// DeleteAgent deletes the record of an agent, and its ban with it.
type DeleteAgent struct {
	ID spiffeid.ID
}

func (c DeleteAgent) kind() kind      { return kindDeleteAgent }
func (c DeleteAgent) subject() string { return subject(agentShape.name, c.ID.String()) }

func (c DeleteAgent) fields(v visitor) Command {
	identity(v, 1, "id", &c.ID, visitor.text)
	return c
}

// Validate wants an agent.
func (c DeleteAgent) Validate() error {
	if c.ID.IsZero() {
		return errors.New("no agent was named: give its SPIFFE ID")
	}
	return nil
}

func (c DeleteAgent) apply(d *draft) error {
	a := d.agents.get(c.ID.String())
	if a == nil {
		return broker.Refuse(broker.NotFound, "there is no agent %.80q", c.ID)
	}
	d.agents.drop(d, a)
	d.change.Agents = true
	return nil
}
