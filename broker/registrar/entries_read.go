package registrar

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/workload"
)

// EntryFilter says which entries are asked for: those that pass all that is
// set. The zero value asks for every entry.
type EntryFilter struct {
	SPIFFEID      spiffeid.ID
	ParentID      spiffeid.ID
	Selectors     *SelectorMatch
	FederatesWith *DomainMatch
	Hint          string
	Downstream    *bool
}

// Entry returns an entry, NotFound if there is none with that ID.
func (r *Registrar) Entry(ctx context.Context, who broker.Caller, id string) (*workload.Entry, error) {
	view, err := r.read(ctx, who, "read entries")
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, broker.Refuse(broker.InvalidArgument, "entry ID is missing: say which entry to get")
	}
	if entry, ok := view.Entry(id); ok {
		return entry, nil
	}
	return confirmed(ctx, r, func() (*workload.Entry, error) {
		entry, ok := r.parts.Ledger.View().Entry(id)
		if !ok {
			return nil, noSuchEntry(id)
		}
		return entry, nil
	})
}

// Entries lists entries by ID.
func (r *Registrar) Entries(ctx context.Context, who broker.Caller, filter EntryFilter, page Page) (Listing[*workload.Entry], error) {
	view, err := r.read(ctx, who, "list entries")
	if err != nil {
		return Listing[*workload.Entry]{}, err
	}
	keep, err := filter.compile()
	if err != nil {
		return Listing[*workload.Entry]{}, err
	}
	from := view.EntriesFrom
	if !filter.SPIFFEID.IsZero() {
		from = func(string) iter.Seq[*workload.Entry] { return byID(view.EntriesWithID(filter.SPIFFEID)) }
	}
	return list(kindEntries, page, view.Index(), from, func(e *workload.Entry) string { return e.ID }, keep)
}

// byID yields entries by ID.
func byID(entries iter.Seq[*workload.Entry]) iter.Seq[*workload.Entry] {
	return slices.Values(slices.SortedFunc(entries, func(a, b *workload.Entry) int { return cmp.Compare(a.ID, b.ID) }))
}

// CountEntries counts the entries that pass filter.
func (r *Registrar) CountEntries(ctx context.Context, who broker.Caller, filter EntryFilter) (int, error) {
	view, err := r.read(ctx, who, "count entries")
	if err != nil {
		return 0, err
	}
	if filter == (EntryFilter{}) {
		return view.EntryCount(), nil
	}
	keep, err := filter.compile()
	if err != nil {
		return 0, err
	}
	all := view.Entries()
	if !filter.SPIFFEID.IsZero() {
		all = view.EntriesWithID(filter.SPIFFEID)
	}
	count := 0
	for e := range all {
		if keep(e) {
			count++
		}
	}
	return count, nil
}

func (f EntryFilter) compile() (func(*workload.Entry) bool, error) {
	selectors, err := f.Selectors.compile()
	if err != nil {
		return nil, err
	}
	domains, err := f.FederatesWith.compile()
	if err != nil {
		return nil, err
	}
	return func(e *workload.Entry) bool {
		return (f.SPIFFEID.IsZero() || e.SPIFFEID == f.SPIFFEID) &&
			(f.ParentID.IsZero() || e.ParentID == f.ParentID) &&
			(f.Hint == "" || e.Hint == f.Hint) &&
			(f.Downstream == nil || e.Downstream == *f.Downstream) &&
			selectors(e.Selectors) && domains(e.FederatesWith)
	}, nil
}
