package spireapi

import (
	"cmp"
	"context"
	"fmt"

	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/protobuf/proto"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
)

func (s entries) BatchCreateEntry(ctx context.Context, req *entryv1.BatchCreateEntryRequest) (*entryv1.BatchCreateEntryResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	results, err := batch(who, req, req.Entries, similar, func(who broker.Caller, e *types.Entry) *entryv1.BatchCreateEntryResponse_Result {
		entry, err := s.create(ctx, who, e, req.OutputMask)
		return &entryv1.BatchCreateEntryResponse_Result{Status: s.status(ctx, err), Entry: entry}
	})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	trim(results)
	return &entryv1.BatchCreateEntryResponse{Results: results}, nil
}

// create returns the entry that was created, or with AlreadyExists the one that
// stands in its way.
func (s entries) create(ctx context.Context, who broker.Caller, e *types.Entry, mask *types.EntryMask) (*types.Entry, error) {
	if err := plain(e); err != nil {
		return nil, err
	}
	entry, err := readEntry(e, registrar.AllEntryFields)
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.CreateEntry(ctx, who, registrar.CreateEntry{Entry: entry})
	if stands := cmp.Or(out.After, out.Before); stands != nil {
		return writeEntry(stands, mask), err
	}
	return nil, err
}

// similar are the keys of an entry that is to be created: entries that have
// one in common stand in each other's way.
func similar(e *types.Entry) []string {
	content := fmt.Sprintf("%s %s %v", e.GetSpiffeId(), e.GetParentId(), attest.Sort(readSelectors(e.GetSelectors())))
	if e.GetId() == "" {
		return []string{content}
	}
	return []string{content, "id " + e.GetId()}
}

// trim leaves away the entries that existed already where the answer would
// outgrow a message: they may be larger than what was sent.
func trim(results []*entryv1.BatchCreateEntryResponse_Result) {
	size := 0
	for _, r := range results {
		n := proto.Size(r) + 8
		if size+n > maxPageBytes+maxBatchBytes/8 && r.Status.Code != 0 && r.Entry != nil {
			r.Entry = nil
			r.Status.Message += " (it is left out here, the answer would be too large: get it by its ID)"
			n = proto.Size(r) + 8
		}
		size += n
	}
}

func (s entries) BatchUpdateEntry(ctx context.Context, req *entryv1.BatchUpdateEntryRequest) (*entryv1.BatchUpdateEntryResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	byID := func(e *types.Entry) []string { return []string{e.GetId()} }
	results, err := batch(who, req, req.Entries, byID, func(who broker.Caller, e *types.Entry) *entryv1.BatchUpdateEntryResponse_Result {
		entry, err := s.update(ctx, who, e, req.InputMask, req.OutputMask)
		return &entryv1.BatchUpdateEntryResponse_Result{Status: s.status(ctx, err), Entry: entry}
	})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &entryv1.BatchUpdateEntryResponse{Results: results}, nil
}

func (s entries) update(ctx context.Context, who broker.Caller, e *types.Entry, in, out *types.EntryMask) (*types.Entry, error) {
	if in == nil || in.AdditionalAttributes {
		if err := plain(e); err != nil {
			return nil, err
		}
	}
	fields := entryFields(in)
	if fields == 0 { // a mask that names nothing changes nothing
		entry, err := s.registrar.Entry(ctx, who, e.GetId())
		if err != nil {
			return nil, err
		}
		return writeEntry(entry, out), nil
	}
	entry, err := readEntry(e, fields)
	if err != nil {
		return nil, err
	}
	done, err := s.registrar.UpdateEntry(ctx, who, registrar.UpdateEntry{Entry: entry, Fields: fields})
	if err != nil {
		return nil, err
	}
	return writeEntry(done.After, out), nil
}

func (s entries) BatchDeleteEntry(ctx context.Context, req *entryv1.BatchDeleteEntryRequest) (*entryv1.BatchDeleteEntryResponse, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	byID := func(id string) []string { return []string{id} }
	results, err := batch(who, req, req.Ids, byID, func(who broker.Caller, id string) *entryv1.BatchDeleteEntryResponse_Result {
		_, err := s.registrar.DeleteEntry(ctx, who, registrar.DeleteEntry{ID: id})
		return &entryv1.BatchDeleteEntryResponse_Result{Status: s.status(ctx, err), Id: id}
	})
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return &entryv1.BatchDeleteEntryResponse{Results: results}, nil
}
