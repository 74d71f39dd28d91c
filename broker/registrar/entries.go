package registrar

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/workload"
)

// CreateEntry asks for a new entry.
type CreateEntry struct {
	// Entry is what to create. ID may be empty: one is made. ParentID may be
	// empty: it is the built-in alias of all nodes' agents. CreatedAt and
	// Revision are not looked at.
	Entry  workload.Entry
	DryRun bool
}

// CreateEntry creates an entry. If there is one with the same SPIFFE ID, parent
// and selectors, or with the same ID, it answers AlreadyExists and Before is
// that entry.
func (r *Registrar) CreateEntry(ctx context.Context, who broker.Caller, in CreateEntry) (Outcome[workload.Entry], error) {
	out := Outcome[workload.Entry]{DryRun: in.DryRun}
	if err := may(who, "create entries", broker.RoleAdmin); err != nil {
		return out, err
	}
	domain, err := r.domain()
	if err != nil {
		return out, err
	}
	entry := in.Entry.Canonical(domain.TrustDomain)
	act, err := act(who, "create entry", entry)
	if err != nil {
		return out, err
	}
	if entry.ID == "" {
		entry.ID = entryID(act.RequestID)
	}
	if err := invalid(entry.Validate(domain.TrustDomain)); err != nil {
		return out, err
	}
	view, index, err := r.carryOut(ctx, act, state.PutEntry{Entry: entry}, in.DryRun)
	out.Index = index
	if broker.CodeOf(err) == broker.AlreadyExists {
		out.Before = inTheWay(view, entry)
	}
	if err != nil {
		return out, err
	}
	out.After, _ = view.Entry(entry.ID)
	return out, nil
}

// UpdateEntry asks for other values of some fields of an entry.
type UpdateEntry struct {
	Entry  workload.Entry // ID says which; Fields of it are the new values
	Fields EntryFields    // 0: all of them
	// IfRevision refuses with Aborted unless the entry has this revision; nil
	// changes whatever revision there is.
	IfRevision *uint64
	DryRun     bool
}

// UpdateEntry changes an entry and raises its revision. NotFound if there is
// none with that ID.
func (r *Registrar) UpdateEntry(ctx context.Context, who broker.Caller, in UpdateEntry) (Outcome[workload.Entry], error) {
	out := Outcome[workload.Entry]{DryRun: in.DryRun}
	if err := may(who, "change entries", broker.RoleAdmin); err != nil {
		return out, err
	}
	domain, err := r.domain()
	if err != nil {
		return out, err
	}
	if in.Fields == 0 {
		in.Fields = AllEntryFields
	}
	act, err := act(who, "update entry", in.Entry, in.Fields, in.IfRevision)
	if err != nil {
		return out, err
	}
	if _, err := r.Entry(ctx, who, in.Entry.ID); err != nil {
		return out, err
	}
	err = retry(act, in.IfRevision == nil, func(act broker.Act) error {
		before, ok := r.parts.Ledger.View().Entry(in.Entry.ID)
		if !ok {
			return noSuchEntry(in.Entry.ID)
		}
		after := in.Fields.merge(*before, in.Entry).Canonical(domain.TrustDomain)
		if err := invalid(after.Validate(domain.TrustDomain)); err != nil {
			return err
		}
		revision := before.Revision
		if in.IfRevision != nil {
			revision = *in.IfRevision
		}
		view, index, err := r.carryOut(ctx, act, state.PutEntry{Entry: after, IfRevision: &revision}, in.DryRun)
		out.Before, out.Index = before, index
		if err != nil {
			return err
		}
		out.After, _ = view.Entry(after.ID)
		return nil
	})
	return out, err
}

// DeleteEntry asks for an entry to go.
type DeleteEntry struct {
	ID     string
	DryRun bool
}

// DeleteEntry deletes an entry. NotFound if there is none.
func (r *Registrar) DeleteEntry(ctx context.Context, who broker.Caller, in DeleteEntry) (Outcome[workload.Entry], error) {
	out := Outcome[workload.Entry]{DryRun: in.DryRun}
	if err := may(who, "delete entries", broker.RoleAdmin); err != nil {
		return out, err
	}
	if in.ID == "" {
		return out, broker.Refuse(broker.InvalidArgument, "entry ID is missing: say which entry to delete")
	}
	act, err := act(who, "delete entry", in.ID)
	if err != nil {
		return out, err
	}
	out.Before, _ = r.parts.Ledger.View().Entry(in.ID)
	_, out.Index, err = r.carryOut(ctx, act, state.DeleteEntry{ID: in.ID}, in.DryRun)
	return out, err
}

// inTheWay is the entry that keeps e from being created.
func inTheWay(view *state.View, e workload.Entry) *workload.Entry {
	if like, ok := view.EntryLike(e); ok {
		return like
	}
	same, _ := view.Entry(e.ID)
	return same
}

func noSuchEntry(id string) error {
	return broker.Refuse(broker.NotFound, "there is no entry with ID %.80q", id)
}

// entryID is the ID of the entry that a request creates, as a UUID of version
// 8 (RFC 9562 §5.8). It is made of the request's ID, so that a retry names the
// entry that the first attempt made.
func entryID(requestID string) string {
	u := sha256.Sum256([]byte("entry\n" + requestID))
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
