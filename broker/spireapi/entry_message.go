package spireapi

import (
	"math"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/workload"
)

// entryFields are the fields that a mask names; no mask names all. What cannot
// be changed, the revision and the time of creation, is not among them.
func entryFields(m *types.EntryMask) registrar.EntryFields {
	if m == nil {
		return registrar.AllEntryFields
	}
	var fields registrar.EntryFields
	for _, f := range []struct {
		named bool
		field registrar.EntryFields
	}{
		{m.SpiffeId, registrar.EntrySPIFFEID},
		{m.ParentId, registrar.EntryParentID},
		{m.Selectors, registrar.EntrySelectors},
		{m.FederatesWith, registrar.EntryFederatesWith},
		{m.X509SvidTtl, registrar.EntryX509TTL},
		{m.JwtSvidTtl, registrar.EntryJWTTTL},
		{m.DnsNames, registrar.EntryDNSNames},
		{m.Hint, registrar.EntryHint},
		{m.Admin, registrar.EntryAdmin},
		{m.Downstream, registrar.EntryDownstream},
		{m.StoreSvid, registrar.EntryStoreSVID},
		{m.ExpiresAt, registrar.EntryExpiresAt},
	} {
		if f.named {
			fields |= f.field
		}
	}
	return fields
}

// readEntry reads the given fields of e, and its ID. The others may hold
// anything.
func readEntry(e *types.Entry, fields registrar.EntryFields) (out workload.Entry, err error) {
	out.ID = e.GetId()
	if fields&registrar.EntrySPIFFEID != 0 {
		if out.SPIFFEID, err = readID("spiffe_id", e.GetSpiffeId()); err != nil {
			return out, err
		}
	}
	if fields&registrar.EntryParentID != 0 {
		if out.ParentID, err = readID("parent_id", e.GetParentId()); err != nil {
			return out, err
		}
	}
	if fields&registrar.EntryFederatesWith != 0 {
		if out.FederatesWith, err = readDomains("federates_with", e.GetFederatesWith()); err != nil {
			return out, err
		}
	}
	out.Selectors = readSelectors(e.GetSelectors())
	out.X509TTL = time.Duration(e.GetX509SvidTtl()) * time.Second
	out.JWTTTL = time.Duration(e.GetJwtSvidTtl()) * time.Second
	out.DNSNames = e.GetDnsNames()
	out.Hint = e.GetHint()
	out.Admin = e.GetAdmin()
	out.Downstream = e.GetDownstream()
	out.StoreSVID = e.GetStoreSvid()
	out.ExpiresAt = readTime(e.GetExpiresAt())
	return out, nil
}

// plain refuses an entry with attributes that Concord has no meaning for: they
// would be lost without a word.
func plain(e *types.Entry) error {
	if a := e.GetAdditionalAttributes(); a.GetDisableX509SvidPrefetch() || a.GetJwtSvidIncludeJti() {
		return broker.Refuse(broker.InvalidArgument, "entry's additional_attributes are set, and Concord has none of them: leave them away")
	}
	return nil
}

// writeEntry writes what mask names of e, and its ID; no mask names all.
func writeEntry(e *workload.Entry, mask *types.EntryMask) *types.Entry {
	full := &types.Entry{
		Id:             e.ID,
		SpiffeId:       writeID(e.SPIFFEID),
		ParentId:       writeID(e.ParentID),
		Selectors:      writeSelectors(e.Selectors),
		X509SvidTtl:    seconds(e.X509TTL),
		JwtSvidTtl:     seconds(e.JWTTTL),
		FederatesWith:  domainNames(e.FederatesWith),
		Admin:          e.Admin,
		Downstream:     e.Downstream,
		ExpiresAt:      writeTime(e.ExpiresAt),
		DnsNames:       e.DNSNames,
		RevisionNumber: int64(min(e.Revision, math.MaxInt64)),
		StoreSvid:      e.StoreSVID,
		Hint:           e.Hint,
		CreatedAt:      writeTime(e.CreatedAt),
	}
	applyMask(full, mask, "id")
	return full
}

func domainNames(in []spiffeid.TrustDomain) []string {
	var out []string
	for _, td := range in {
		out = append(out, td.Name())
	}
	return out
}

func seconds(d time.Duration) int32 {
	return int32(min(d/time.Second, math.MaxInt32))
}
