package admin

import (
	"context"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/workload"
)

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
func (r *request) entryFilter() (registrar.EntryFilter, error) {
	f := registrar.EntryFilter{Hint: r.query.Get("hint")}
	var err error
	if text := r.query.Get("spiffe_id"); text != "" {
		if f.SPIFFEID, err = spiffeID("spiffe_id", text); err != nil {
			return f, err
		}
	}
	if text := r.query.Get("parent_id"); text != "" {
		if f.ParentID, err = spiffeID("parent_id", text); err != nil {
			return f, err
		}
	}
	if texts := r.query["selector"]; len(texts) > 0 {
		selectors, err := readSelectors(texts)
		if err != nil {
			return f, err
		}
		f.Selectors = &registrar.SelectorMatch{Selectors: selectors, Match: registrar.MatchSuperset}
	}
	if texts := r.query["federates_with"]; len(texts) > 0 {
		domains, err := readDomains(texts)
		if err != nil {
			return f, err
		}
		f.FederatesWith = &registrar.DomainMatch{TrustDomains: domains, Match: registrar.MatchSuperset}
	}
	if r.query.Has("downstream") {
		downstream, err := r.flag("downstream")
		if err != nil {
			return f, err
		}
		f.Downstream = &downstream
	}
	return f, nil
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
	return outcome(out, err, showEntry)
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

// outcome shows what a write did.
func outcome[T, D any](o registrar.Outcome[T], err error, show func(*T) D) (any, error) {
	if err != nil {
		return nil, err
	}
	out := client.Outcome[D]{Index: o.Index, DryRun: o.DryRun}
	if o.Before != nil {
		before := show(o.Before)
		out.Before = &before
	}
	if o.After != nil {
		after := show(o.After)
		out.After = &after
	}
	return out, nil
}

func showEntry(e *workload.Entry) client.Entry {
	return client.Entry{
		ID: e.ID, SPIFFEID: e.SPIFFEID.String(), ParentID: e.ParentID.String(),
		Selectors: texts(e.Selectors), FederatesWith: names(e.FederatesWith),
		X509TTL: client.Duration(e.X509TTL), JWTTTL: client.Duration(e.JWTTTL),
		DNSNames: e.DNSNames, Hint: e.Hint, Admin: e.Admin, Downstream: e.Downstream, StoreSVID: e.StoreSVID,
		ExpiresAt: e.ExpiresAt, CreatedAt: e.CreatedAt, Revision: e.Revision,
	}
}

func texts(selectors []attest.Selector) []string {
	out := make([]string, 0, len(selectors))
	for _, s := range selectors {
		out = append(out, s.String())
	}
	return out
}

func names(domains []spiffeid.TrustDomain) []string {
	var out []string
	for _, td := range domains {
		out = append(out, td.Name())
	}
	return out
}

func readSelectors(texts []string) ([]attest.Selector, error) {
	var out []attest.Selector
	for _, text := range texts {
		s, err := attest.ParseSelector(text)
		if err != nil {
			return nil, broker.Refuse(broker.InvalidArgument, "%v", err)
		}
		out = append(out, s)
	}
	return attest.Sort(out), nil
}

func readDomains(texts []string) ([]spiffeid.TrustDomain, error) {
	var out []spiffeid.TrustDomain
	for _, text := range texts {
		td, err := trustDomain("federates_with", text)
		if err != nil {
			return nil, err
		}
		out = append(out, td)
	}
	slices.SortFunc(out, spiffeid.TrustDomain.Compare)
	return slices.Compact(out), nil
}

func readEntry(d client.Entry) (workload.Entry, error) {
	e := workload.Entry{
		ID: d.ID, X509TTL: time.Duration(d.X509TTL), JWTTTL: time.Duration(d.JWTTTL), DNSNames: d.DNSNames, Hint: d.Hint,
		Admin: d.Admin, Downstream: d.Downstream, StoreSVID: d.StoreSVID, ExpiresAt: d.ExpiresAt,
	}
	var err error
	if e.SPIFFEID, err = spiffeID("spiffe_id", d.SPIFFEID); err != nil {
		return e, err
	}
	if d.ParentID != "" {
		if e.ParentID, err = spiffeID("parent_id", d.ParentID); err != nil {
			return e, err
		}
	}
	if e.Selectors, err = readSelectors(d.Selectors); err != nil {
		return e, err
	}
	e.FederatesWith, err = readDomains(d.FederatesWith)
	return e, err
}

// readPatch returns the new values and which fields they are for.
func readPatch(p client.EntryPatch) (e workload.Entry, fields registrar.EntryFields, err error) {
	if p.SPIFFEID != nil {
		if e.SPIFFEID, err = spiffeID("spiffe_id", *p.SPIFFEID); err != nil {
			return e, 0, err
		}
		fields |= registrar.EntrySPIFFEID
	}
	if p.ParentID != nil {
		if e.ParentID, err = spiffeID("parent_id", *p.ParentID); err != nil {
			return e, 0, err
		}
		fields |= registrar.EntryParentID
	}
	if p.Selectors != nil {
		if e.Selectors, err = readSelectors(*p.Selectors); err != nil {
			return e, 0, err
		}
		fields |= registrar.EntrySelectors
	}
	if p.FederatesWith != nil {
		if e.FederatesWith, err = readDomains(*p.FederatesWith); err != nil {
			return e, 0, err
		}
		fields |= registrar.EntryFederatesWith
	}
	fields |= take(&e.X509TTL, (*time.Duration)(p.X509TTL), registrar.EntryX509TTL)
	fields |= take(&e.JWTTTL, (*time.Duration)(p.JWTTTL), registrar.EntryJWTTTL)
	fields |= take(&e.DNSNames, p.DNSNames, registrar.EntryDNSNames)
	fields |= take(&e.Hint, p.Hint, registrar.EntryHint)
	fields |= take(&e.Admin, p.Admin, registrar.EntryAdmin)
	fields |= take(&e.Downstream, p.Downstream, registrar.EntryDownstream)
	fields |= take(&e.StoreSVID, p.StoreSVID, registrar.EntryStoreSVID)
	fields |= take(&e.ExpiresAt, p.ExpiresAt, registrar.EntryExpiresAt)
	if fields == 0 {
		return e, 0, broker.Refuse(broker.InvalidArgument, "the body changes nothing: name at least one field")
	}
	return e, fields, nil
}

// take copies a field that is present.
func take[T any](to, from *T, field registrar.EntryFields) registrar.EntryFields {
	if from == nil {
		return 0
	}
	*to = *from
	return field
}
