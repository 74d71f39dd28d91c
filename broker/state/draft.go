package state

import (
	"fmt"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
)

// Limits of one audit record: how many differences it names before it only
// counts records, and how many it can have then. One record has less than 32.
const (
	maxAuditFields       = 256
	maxAuditRecordFields = maxAuditFields + 32 + 1
)

// draft is a View in the making: a command changes it, and it becomes the next
// View or, if the command is refused, is thrown away.
type draft struct {
	tables
	index uint64
	act   broker.Act
	sum   sum

	change  Change
	touched map[string]struct{} // IDs of the entries that are different

	fields []AuditField
	unsaid int // records beyond maxAuditFields
}

// note says in the audit trail what is different about a record.
func (d *draft) note(record string, before, after []shown) {
	if len(d.fields) >= maxAuditFields {
		d.unsaid++
		return
	}
	d.fields = append(d.fields, differences(record, before, after)...)
}

// auditFields returns what was noted.
func (d *draft) auditFields() []AuditField {
	if d.unsaid > 0 {
		return append(d.fields, AuditField{Name: "more", After: fmt.Sprintf("%d more records are different", d.unsaid)})
	}
	return d.fields
}

// changes returns what is different, for whoever watches.
func (d *draft) changes() Change {
	c := d.change
	c.Index = d.index
	slices.SortFunc(c.Bundles, spiffeid.TrustDomain.Compare)
	slices.SortFunc(c.Relationships, spiffeid.TrustDomain.Compare)
	ids := make([]string, 0, len(d.touched))
	for id := range d.touched {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	c.setEntries(ids)
	return c
}

// home returns the domain, or refuses everything that needs one.
func (d *draft) home() (*home, error) {
	if h := d.domain.get(""); h != nil {
		return h, nil
	}
	return nil, broker.Refuse(broker.FailedPrecondition, "the trust domain does not exist yet: bootstrap it first")
}

// foreigner refuses a trust domain that is ours: nobody brings anything for it.
func (d *draft) foreigner(td spiffeid.TrustDomain, what string) error {
	h, err := d.home()
	switch {
	case err != nil:
		return err
	case td == h.TrustDomain:
		return broker.Refuse(broker.InvalidArgument, "%s is our own trust domain: nobody brings %s for it", td.Name(), what)
	case td.IsZero():
		return broker.Refuse(broker.InvalidArgument, "no trust domain was named: a trust domain is never taken from %s", what)
	}
	return nil
}

// revised refuses a change that was made from another revision than the one
// there is. have is nil if there is no record, want if there must be none.
func revised(what string, have, want *uint64) error {
	switch {
	case want == nil && have != nil:
		return broker.Refuse(broker.AlreadyExists, "%s exists already", what)
	case want == nil:
		return nil
	case have == nil:
		return broker.Refuse(broker.NotFound, "%s does not exist", what)
	case *have != *want:
		return broker.Refuse(broker.Aborted, "%s is at revision %d, not %d: somebody changed it meanwhile, read it again", what, *have, *want)
	}
	return nil
}
