package admin

import (
	"context"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

// entryFilters are what a listing of entries may ask for.
var entryFilters = []string{"spiffe_id", "parent_id", "selector", "federates_with", "hint", "downstream"}

func (s *server) listEntries(ctx context.Context, who broker.Caller, r *request) (any, error) {
	page, err := r.page()
	if err != nil {
		return nil, err
	}
	filter, err := r.entryFilter()
	if err != nil {
		return nil, err
	}
	list, err := s.registrar.Entries(ctx, who, filter, page)
	if err != nil {
		return nil, err
	}
	out := client.Entries{Entries: []client.Entry{}, Page: client.Page{Next: list.Next, Index: list.Index}}
	for _, e := range list.Items {
		out.Entries = append(out.Entries, showEntry(e))
	}
	return out, nil
}

// entryFilter reads spiffe_id, parent_id, selector (repeated: all of them),
// federates_with (repeated: all of them), hint and downstream.
func (r *request) entryFilter() (f registrar.EntryFilter, err error) {
	f.Hint = r.query.Get("hint")
	if f.SPIFFEID, err = r.id("spiffe_id"); err != nil {
		return f, err
	}
	if f.ParentID, err = r.id("parent_id"); err != nil {
		return f, err
	}
	if f.Selectors, err = r.selectors(); err != nil {
		return f, err
	}
	if texts := r.query["federates_with"]; len(texts) > 0 {
		domains, err := readDomains(texts)
		if err != nil {
			return f, err
		}
		f.FederatesWith = &registrar.DomainMatch{TrustDomains: domains, Match: registrar.MatchSuperset}
	}
	f.Downstream, err = r.maybe("downstream")
	return f, err
}

// selectors reads which selectors a record must all have; nil if any will do.
func (r *request) selectors() (*registrar.SelectorMatch, error) {
	texts := r.query["selector"]
	if len(texts) == 0 {
		return nil, nil
	}
	selectors, err := readSelectors(texts)
	return &registrar.SelectorMatch{Selectors: selectors, Match: registrar.MatchSuperset}, err
}

func (s *server) getEntry(ctx context.Context, who broker.Caller, r *request) (any, error) {
	id, err := r.segment("id")
	if err != nil {
		return nil, err
	}
	e, err := s.registrar.Entry(ctx, who, id)
	if err != nil {
		return nil, err
	}
	return showEntry(e), nil
}

func (s *server) createEntry(ctx context.Context, who broker.Caller, r *request) (any, error) {
	var body client.Entry
	if err := r.body(&body); err != nil {
		return nil, err
	}
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	e, err := readEntry(body)
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.CreateEntry(ctx, who, registrar.CreateEntry{Entry: e, DryRun: dry})
	return made(out, err, showEntry, func(d client.Entry) string { return client.Path("entries", d.ID) })
}

func (s *server) patchEntry(ctx context.Context, who broker.Caller, r *request) (any, error) {
	id, err := r.segment("id")
	if err != nil {
		return nil, err
	}
	var body client.EntryPatch
	if err := r.body(&body); err != nil {
		return nil, err
	}
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	e, fields, err := readPatch(body)
	if err != nil {
		return nil, err
	}
	e.ID = id
	out, err := s.registrar.UpdateEntry(ctx, who, registrar.UpdateEntry{Entry: e, Fields: fields, IfRevision: body.IfRevision, DryRun: dry})
	return outcome(out, err, showEntry)
}

func (s *server) deleteEntry(ctx context.Context, who broker.Caller, r *request) (any, error) {
	id, err := r.segment("id")
	if err != nil {
		return nil, err
	}
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.DeleteEntry(ctx, who, registrar.DeleteEntry{ID: id, DryRun: dry})
	return outcome(out, err, showEntry)
}
