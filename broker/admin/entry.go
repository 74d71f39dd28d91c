package admin

import (
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/workload"
)

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
