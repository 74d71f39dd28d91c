package spireapi_test

import (
	"testing"
	"time"

	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/tests/memcluster"
)

func withAgents(t *testing.T) *served {
	s := serve(t, memcluster.Options{})
	for _, name := range []string{"n1", "n2"} {
		s.Do(t, state.PutAgent{Agent: state.Agent{
			ID: s.ID("/spire/agent/concord/" + name), Method: "concord:node", AttestedAt: time.Now(), CertSerial: "17",
			CertNotAfter: time.Unix(4102444800, 0), Selectors: []attest.Selector{{Type: "concord", Value: "node"}}, Version: "1.0",
		}})
	}
	return s
}

func TestAgentsAreReadListedAndCounted(t *testing.T) {
	s := withAgents(t)
	client := agentv1.NewAgentClient(s.conn)
	want := &types.Agent{
		Id: id("/spire/agent/concord/n1"), AttestationType: "concord:node", X509SvidSerialNumber: "17", X509SvidExpiresAt: 4102444800,
		Selectors: []*types.Selector{{Type: "concord", Value: "node"}}, CanReattest: true, AgentVersion: "1.0",
	}
	got, err := client.GetAgent(t.Context(), &agentv1.GetAgentRequest{Id: want.Id})
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	got, err = client.GetAgent(t.Context(), &agentv1.GetAgentRequest{Id: want.Id, OutputMask: &types.AgentMask{AgentVersion: true}})
	if masked := (&types.Agent{Id: want.Id, AgentVersion: "1.0"}); err != nil || !proto.Equal(got, masked) {
		t.Errorf("masked %v, %v, want %v", got, err, masked)
	}
	list, err := client.ListAgents(t.Context(), &agentv1.ListAgentsRequest{PageSize: 1})
	if err != nil || len(list.Agents) != 1 || list.NextPageToken == "" {
		t.Fatalf("listed %v, %v", list, err)
	}
	list, err = client.ListAgents(t.Context(), &agentv1.ListAgentsRequest{PageToken: list.NextPageToken})
	if err != nil || len(list.Agents) != 1 || list.Agents[0].Id.Path != "/spire/agent/concord/n2" || list.NextPageToken != "" {
		t.Errorf("listed %v, %v", list, err)
	}
}

func TestAgentsAreFiltered(t *testing.T) {
	s := withAgents(t)
	client := agentv1.NewAgentClient(s.conn)
	if _, err := client.BanAgent(t.Context(), &agentv1.BanAgentRequest{Id: id("/spire/agent/concord/n1")}); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]struct {
		filter *agentv1.CountAgentsRequest_Filter
		want   int32
	}{
		"nothing":        {nil, 2},
		"banned":         {&agentv1.CountAgentsRequest_Filter{ByBanned: wrapperspb.Bool(true)}, 1},
		"method":         {&agentv1.CountAgentsRequest_Filter{ByAttestationType: "join_token"}, 0},
		"reattesting":    {&agentv1.CountAgentsRequest_Filter{ByCanReattest: wrapperspb.Bool(true)}, 2},
		"ending before":  {&agentv1.CountAgentsRequest_Filter{ByExpiresBefore: "2101-01-01 00:00:00 +0000 +00"}, 2},
		"ending earlier": {&agentv1.CountAgentsRequest_Filter{ByExpiresBefore: "2001-01-01 00:00:00 +0000 +00"}, 0},
		"no selectors":   {&agentv1.CountAgentsRequest_Filter{BySelectorMatch: &types.SelectorMatch{}}, 2},
		"a selector": {&agentv1.CountAgentsRequest_Filter{BySelectorMatch: &types.SelectorMatch{
			Selectors: []*types.Selector{{Type: "concord", Value: "node"}}}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := client.CountAgents(t.Context(), &agentv1.CountAgentsRequest{Filter: f.filter})
			if err != nil || got.Count != f.want {
				t.Errorf("counted %v, %v, want %d", got, err, f.want)
			}
		})
	}
	_, err := client.ListAgents(t.Context(), &agentv1.ListAgentsRequest{Filter: &agentv1.ListAgentsRequest_Filter{ByExpiresBefore: "tomorrow"}})
	wantCode(t, err, codes.InvalidArgument)
}

func TestABannedAgentIsFreeAgainOnceItIsDeleted(t *testing.T) {
	s := withAgents(t)
	client, who := agentv1.NewAgentClient(s.conn), id("/spire/agent/concord/n1")
	if _, err := client.BanAgent(t.Context(), &agentv1.BanAgentRequest{Id: who}); err != nil {
		t.Fatal(err)
	}
	if got, err := client.GetAgent(t.Context(), &agentv1.GetAgentRequest{Id: who}); err != nil || !got.Banned {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := client.DeleteAgent(t.Context(), &agentv1.DeleteAgentRequest{Id: who}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]codes.Code{"/spire/agent/concord/n1": codes.NotFound, "/web": codes.InvalidArgument, "": codes.InvalidArgument} {
		_, err := client.GetAgent(t.Context(), &agentv1.GetAgentRequest{Id: id(path)})
		wantCode(t, err, want)
		_, err = client.DeleteAgent(t.Context(), &agentv1.DeleteAgentRequest{Id: id(path)})
		wantCode(t, err, want)
		_, err = client.BanAgent(t.Context(), &agentv1.BanAgentRequest{Id: id(path)})
		wantCode(t, err, want)
	}
}
