package spireapi

import (
	"context"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/workload"
)

// agents is spire.api.server.agent.v1.Agent.
type agents struct {
	agentv1.UnsafeAgentServer
	desk
}

func (s agents) CountAgents(ctx context.Context, req *agentv1.CountAgentsRequest) (*agentv1.CountAgentsResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	var filter registrar.AgentFilter
	if req.Filter != nil {
		if filter, err = readAgentFilter(req.Filter); err != nil {
			return nil, s.err(ctx, err)
		}
	}
	count, err := s.registrar.CountAgents(ctx, who, filter)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &agentv1.CountAgentsResponse{Count: int32(count)}, nil
}

func (s agents) ListAgents(ctx context.Context, req *agentv1.ListAgentsRequest) (*agentv1.ListAgentsResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	var filter registrar.AgentFilter
	if req.Filter != nil {
		if filter, err = readAgentFilter(req.Filter); err != nil {
			return nil, s.err(ctx, err)
		}
	}
	list, err := s.registrar.Agents(ctx, who, filter, registrar.Page{Size: int(req.PageSize), Token: req.PageToken})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	resp := &agentv1.ListAgentsResponse{}
	resp.Agents, resp.NextPageToken = page(list, func(a registrar.Agent) *types.Agent { return writeAgent(a, req.OutputMask) })
	return resp, nil
}

func (s agents) GetAgent(ctx context.Context, req *agentv1.GetAgentRequest) (*types.Agent, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	id, err := readAgentID(req.Id)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	agent, err := s.registrar.Agent(ctx, who, id)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return writeAgent(agent, req.OutputMask), nil
}

func (s agents) DeleteAgent(ctx context.Context, req *agentv1.DeleteAgentRequest) (*emptypb.Empty, error) {
	return s.change(ctx, req.Id, s.registrar.DeleteAgent)
}

func (s agents) BanAgent(ctx context.Context, req *agentv1.BanAgentRequest) (*emptypb.Empty, error) {
	return s.change(ctx, req.Id, s.registrar.BanAgent)
}

func (s agents) change(ctx context.Context, of *types.SPIFFEID, do func(context.Context, broker.Caller, registrar.ChangeAgent) (registrar.Outcome[registrar.Agent], error)) (*emptypb.Empty, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	id, err := readAgentID(of)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	if _, err := do(ctx, who, registrar.ChangeAgent{ID: id}); err != nil {
		return nil, s.err(ctx, err)
	}
	return &emptypb.Empty{}, nil
}

// AttestAgent waits for node attestation.
func (s agents) AttestAgent(grpc.BidiStreamingServer[agentv1.AttestAgentRequest, agentv1.AttestAgentResponse]) error {
	return later("AttestAgent")
}

// RenewAgent waits for node attestation.
func (s agents) RenewAgent(context.Context, *agentv1.RenewAgentRequest) (*agentv1.RenewAgentResponse, error) {
	return nil, later("RenewAgent")
}

// PostStatus waits for node attestation.
func (s agents) PostStatus(context.Context, *agentv1.PostStatusRequest) (*agentv1.PostStatusResponse, error) {
	return nil, later("PostStatus")
}

// CreateJoinToken waits for node attestation.
func (s agents) CreateJoinToken(context.Context, *agentv1.CreateJoinTokenRequest) (*types.JoinToken, error) {
	return nil, later("CreateJoinToken")
}

// agentFilter is the filter of CountAgents and of ListAgents, which have the
// same fields and different types.
type agentFilter interface {
	GetByAttestationType() string
	GetBySelectorMatch() *types.SelectorMatch
	GetByBanned() *wrapperspb.BoolValue
	GetByCanReattest() *wrapperspb.BoolValue
	GetByExpiresBefore() string
}

// expiresBeforeLayout is how SPIRE's clients write by_expires_before.
const expiresBeforeLayout = "2006-01-02 15:04:05 -0700 -07"

func readAgentFilter(f agentFilter) (out registrar.AgentFilter, err error) {
	out.Method = f.GetByAttestationType()
	if m := f.GetBySelectorMatch(); len(m.GetSelectors()) > 0 {
		out.Selectors = readSelectorMatch(m)
	}
	if banned := f.GetByBanned(); banned != nil {
		out.Banned = &banned.Value
	}
	if can := f.GetByCanReattest(); can != nil {
		out.CanReattest = &can.Value
	}
	if at := f.GetByExpiresBefore(); at != "" {
		if out.ExpiresBefore, err = time.Parse(expiresBeforeLayout, at); err != nil {
			return out, broker.Refuse(broker.InvalidArgument, "by_expires_before %.60q is no time: write it as %q", at, expiresBeforeLayout)
		}
	}
	return out, nil
}

func readAgentID(in *types.SPIFFEID) (spiffeid.ID, error) {
	id, err := readID("id", in)
	if err != nil {
		return id, err
	}
	if !workload.IsAgent(id) {
		return id, broker.Refuse(broker.InvalidArgument, "id %.80q is no agent's: agents are below %s", id, workload.AgentPath)
	}
	return id, nil
}

// writeAgent writes what mask names of an agent, and its ID.
func writeAgent(a registrar.Agent, mask *types.AgentMask) *types.Agent {
	out := &types.Agent{
		Id:                   writeID(a.ID),
		AttestationType:      a.Method,
		X509SvidSerialNumber: a.CertSerial,
		X509SvidExpiresAt:    writeTime(a.CertNotAfter),
		Selectors:            writeSelectors(a.Selectors),
		Banned:               a.Banned,
		CanReattest:          registrar.CanReattest(a),
		AgentVersion:         a.Version,
	}
	applyMask(out, mask, "id")
	return out
}
