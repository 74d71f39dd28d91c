package spireapi

import (
	"context"

	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/workload"
)

// entries is spire.api.server.entry.v1.Entry.
type entries struct {
	entryv1.UnsafeEntryServer
	desk
}

func (s entries) CountEntries(ctx context.Context, req *entryv1.CountEntriesRequest) (*entryv1.CountEntriesResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	var filter registrar.EntryFilter
	if req.Filter != nil {
		if filter, err = readEntryFilter(req.Filter); err != nil {
			return nil, s.err(ctx, err)
		}
	}
	count, err := s.registrar.CountEntries(ctx, who, filter)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &entryv1.CountEntriesResponse{Count: int32(count)}, nil
}

func (s entries) ListEntries(ctx context.Context, req *entryv1.ListEntriesRequest) (*entryv1.ListEntriesResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	var filter registrar.EntryFilter
	if req.Filter != nil {
		if filter, err = readEntryFilter(req.Filter); err != nil {
			return nil, s.err(ctx, err)
		}
	}
	list, err := s.registrar.Entries(ctx, who, filter, registrar.Page{Size: int(req.PageSize), Token: req.PageToken})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	resp := &entryv1.ListEntriesResponse{}
	resp.Entries, resp.NextPageToken = page(list, func(e *workload.Entry) *types.Entry { return writeEntry(e, req.OutputMask) })
	return resp, nil
}

func (s entries) GetEntry(ctx context.Context, req *entryv1.GetEntryRequest) (*types.Entry, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	entry, err := s.registrar.Entry(ctx, who, req.Id)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return writeEntry(entry, req.OutputMask), nil
}

// GetAuthorizedEntries is for agents, of which there are none but the nodes'
// own.
func (s entries) GetAuthorizedEntries(context.Context, *entryv1.GetAuthorizedEntriesRequest) (*entryv1.GetAuthorizedEntriesResponse, error) {
	return nil, later("GetAuthorizedEntries")
}

// SyncAuthorizedEntries is for agents, of which there are none but the nodes'
// own.
func (s entries) SyncAuthorizedEntries(grpc.BidiStreamingServer[entryv1.SyncAuthorizedEntriesRequest, entryv1.SyncAuthorizedEntriesResponse]) error {
	return later("SyncAuthorizedEntries")
}

// entryFilter is the filter of CountEntries and of ListEntries, which have the
// same fields and different types.
type entryFilter interface {
	GetBySpiffeId() *types.SPIFFEID
	GetByParentId() *types.SPIFFEID
	GetBySelectors() *types.SelectorMatch
	GetByFederatesWith() *types.FederatesWithMatch
	GetByHint() *wrapperspb.StringValue
	GetByDownstream() *wrapperspb.BoolValue
}

func readEntryFilter(f entryFilter) (out registrar.EntryFilter, err error) {
	if out.SPIFFEID, err = readID("by_spiffe_id", f.GetBySpiffeId()); err != nil {
		return out, err
	}
	if out.ParentID, err = readID("by_parent_id", f.GetByParentId()); err != nil {
		return out, err
	}
	out.Selectors = readSelectorMatch(f.GetBySelectors())
	if m := f.GetByFederatesWith(); m != nil {
		out.FederatesWith = &registrar.DomainMatch{Match: readMatch(int32(m.Match))}
		if out.FederatesWith.TrustDomains, err = readDomains("by_federates_with", m.TrustDomains); err != nil {
			return out, err
		}
	}
	out.Hint = f.GetByHint().GetValue()
	if d := f.GetByDownstream(); d != nil {
		out.Downstream = &d.Value
	}
	return out, nil
}
