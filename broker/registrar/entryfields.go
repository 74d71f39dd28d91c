package registrar

import "github.com/concord-id/concord/workload"

// EntryFields is a set of an entry's fields.
type EntryFields uint32

// The fields of an entry that can be changed.
const (
	EntrySPIFFEID EntryFields = 1 << iota
	EntryParentID
	EntrySelectors
	EntryFederatesWith
	EntryX509TTL
	EntryJWTTTL
	EntryDNSNames
	EntryHint
	EntryAdmin
	EntryDownstream
	EntryStoreSVID
	EntryExpiresAt

	AllEntryFields = EntryExpiresAt<<1 - 1
)

// merge returns onto with the fields of from that are in fields.
func (fields EntryFields) merge(onto, from workload.Entry) workload.Entry {
	for _, f := range []struct {
		field EntryFields
		copy  func()
	}{
		{EntrySPIFFEID, func() { onto.SPIFFEID = from.SPIFFEID }},
		{EntryParentID, func() { onto.ParentID = from.ParentID }},
		{EntrySelectors, func() { onto.Selectors = from.Selectors }},
		{EntryFederatesWith, func() { onto.FederatesWith = from.FederatesWith }},
		{EntryX509TTL, func() { onto.X509TTL = from.X509TTL }},
		{EntryJWTTTL, func() { onto.JWTTTL = from.JWTTTL }},
		{EntryDNSNames, func() { onto.DNSNames = from.DNSNames }},
		{EntryHint, func() { onto.Hint = from.Hint }},
		{EntryAdmin, func() { onto.Admin = from.Admin }},
		{EntryDownstream, func() { onto.Downstream = from.Downstream }},
		{EntryStoreSVID, func() { onto.StoreSVID = from.StoreSVID }},
		{EntryExpiresAt, func() { onto.ExpiresAt = from.ExpiresAt }},
	} {
		if fields&f.field != 0 {
			f.copy()
		}
	}
	return onto
}
