package state_test

import (
	"slices"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

func TestOnlyADeletionEndsABan(t *testing.T) {
	w := founded(t)
	agent := state.Agent{ID: id("/spire/agent/join_token/1"), Method: "join_token", CertSerial: "1"}
	if applied := w.do(state.PutAgent{Agent: agent}); !applied.Change.Agents {
		t.Errorf("the change is %+v", applied.Change)
	}
	if applied := w.do(state.PutAgent{Agent: agent}); !applied.Change.Empty() {
		t.Errorf("the same record again is a change: %+v", applied.Change)
	}
	banned := agent
	banned.Banned = true
	w.do(state.PutAgent{Agent: banned})
	agent.CertSerial = "2" // it attests again and read its record before the ban
	w.refused(broker.PermissionDenied, state.PutAgent{Agent: agent})
	w.do(state.DeleteAgent{ID: agent.ID})
	w.refused(broker.NotFound, state.DeleteAgent{ID: agent.ID})
	w.do(state.PutAgent{Agent: agent})
	if have, ok := w.machine.View().Agent(agent.ID); !ok || have.Banned || have.CertSerial != "2" {
		t.Errorf("the agent is %+v, %t", have, ok)
	}
}

func TestAnAgentIsOfOurDomain(t *testing.T) {
	w := founded(t)
	w.refused(broker.InvalidArgument, state.PutAgent{Agent: state.Agent{ID: spiffeid.RequireFromPath(bank, "/spire/agent/x"), Method: "m"}})
}

func TestAgentsAreListed(t *testing.T) {
	w := founded(t)
	for _, name := range []string{"c", "a", "b"} {
		w.do(state.PutAgent{Agent: state.Agent{ID: id("/spire/agent/m/" + name), Method: "m"}})
	}
	var all []string
	for a := range w.machine.View().Agents() {
		all = append(all, a.ID.Path()[len("/spire/agent/m/"):])
	}
	if !slices.Equal(all, []string{"a", "b", "c"}) || w.machine.View().AgentCount() != 3 {
		t.Errorf("the agents are %v", all)
	}
	for a := range w.machine.View().AgentsFrom(id("/spire/agent/m/b").String()) {
		if a.ID.Path() != "/spire/agent/m/b" {
			t.Errorf("the first from b is %s", a.ID)
		}
		break
	}
}
