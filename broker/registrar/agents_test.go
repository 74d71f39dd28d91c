package registrar_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/tests/memcluster"
)

func withAgents(t *testing.T, n int) *memcluster.Cluster {
	c := memcluster.New(t, acme, memcluster.Options{})
	for i := range n {
		c.Do(t, state.PutAgent{Agent: state.Agent{
			ID: c.ID(fmt.Sprintf("/spire/agent/concord/n%d", i)), Method: "concord:node", AttestedAt: time.Now(),
			Selectors:    []attest.Selector{{Type: "concord", Value: fmt.Sprint("node", i)}},
			CertNotAfter: time.Unix(int64(1000*i), 0),
		}})
	}
	return c
}

func TestAgentsAreListedCountedAndFiltered(t *testing.T) {
	c := withAgents(t, 3)
	if _, err := c.Registrar.BanAgent(t.Context(), memcluster.Admin, registrar.ChangeAgent{ID: c.ID("/spire/agent/concord/n1")}); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	for name, f := range map[string]struct {
		filter registrar.AgentFilter
		want   string
	}{
		"nothing":        {registrar.AgentFilter{}, "n0 n1 n2"},
		"banned":         {registrar.AgentFilter{Banned: &yes}, "n1"},
		"not banned":     {registrar.AgentFilter{Banned: &no}, "n0 n2"},
		"method":         {registrar.AgentFilter{Method: "concord:node"}, "n0 n1 n2"},
		"another method": {registrar.AgentFilter{Method: "join_token"}, ""},
		"reattesting":    {registrar.AgentFilter{CanReattest: &no}, ""},
		"ending early":   {registrar.AgentFilter{ExpiresBefore: time.Unix(1500, 0)}, "n0 n1"},
		"a selector":     {registrar.AgentFilter{Selectors: &registrar.SelectorMatch{Selectors: []attest.Selector{{Type: "concord", Value: "node2"}}}}, "n2"},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := c.Registrar.Agents(t.Context(), memcluster.Reader, f.filter, registrar.Page{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range list.Items {
				got = append(got, a.ID.Path()[len("/spire/agent/concord/"):])
			}
			if n, err := c.Registrar.CountAgents(t.Context(), memcluster.Reader, f.filter); strings.Join(got, " ") != f.want || n != len(got) || err != nil {
				t.Errorf("listed %v and counted %d (%v), want %s", got, n, err, f.want)
			}
		})
	}
}

func TestABanLastsUntilTheAgentIsDeleted(t *testing.T) {
	c := withAgents(t, 1)
	id := c.ID("/spire/agent/concord/n0")
	dry, err := c.Registrar.BanAgent(t.Context(), memcluster.Admin, registrar.ChangeAgent{ID: id, DryRun: true})
	if err != nil || !dry.After.Banned || dry.Before.Banned {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	if a, err := c.Registrar.Agent(t.Context(), memcluster.Reader, id); err != nil || a.Banned {
		t.Errorf("after the dry run: %+v, %v", a, err)
	}
	if out, err := c.Registrar.BanAgent(t.Context(), memcluster.Admin, registrar.ChangeAgent{ID: id}); err != nil || !out.After.Banned {
		t.Errorf("banned: %+v, %v", out, err)
	}
	if out, err := c.Registrar.DeleteAgent(t.Context(), memcluster.Admin, registrar.ChangeAgent{ID: id}); err != nil || out.Before == nil || out.After != nil {
		t.Errorf("deleted: %+v, %v", out, err)
	}
	for name, err := range map[string]error{
		"get":    second(c.Registrar.Agent(t.Context(), memcluster.Reader, id)),
		"ban":    second(c.Registrar.BanAgent(t.Context(), memcluster.Admin, registrar.ChangeAgent{ID: id})),
		"delete": second(c.Registrar.DeleteAgent(t.Context(), memcluster.Admin, registrar.ChangeAgent{ID: id})),
	} {
		if broker.CodeOf(err) != broker.NotFound {
			t.Errorf("%s: %v, want NotFound", name, err)
		}
	}
}
