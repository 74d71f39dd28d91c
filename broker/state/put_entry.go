package state

import (
	"errors"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/workload"
)

// PutEntry makes or replaces a registration entry. Apply sets CreatedAt and
// Revision, and the built-in alias as parent if there is none.
type PutEntry struct {
	Entry      workload.Entry
	IfRevision *uint64 // nil: must not exist yet; else the revision that the proposer saw
}

func (c PutEntry) kind() kind      { return kindPutEntry }
func (c PutEntry) subject() string { return subject(entryShape.name, c.Entry.ID) }

func (c PutEntry) fields(v visitor) Command {
	v.group(1, "entry", func() { workloadFields(v, &c.Entry) })
	v.optional(2, "if_revision", &c.IfRevision)
	return c
}

// Validate says which field of the entry is wrong.
func (c PutEntry) Validate() error {
	if c.Entry.ID == "" {
		return errors.New("the entry has no ID")
	}
	td := c.Entry.SPIFFEID.TrustDomain()
	if c.Entry.ParentID.IsZero() && !td.IsZero() {
		c.Entry.ParentID = workload.AgentAlias(td)
	}
	return c.Entry.Validate(td)
}

func (c PutEntry) apply(d *draft) error {
	h, err := d.home()
	if err != nil {
		return err
	}
	next := &c.Entry
	if next.ParentID.IsZero() {
		next.ParentID = workload.AgentAlias(h.TrustDomain)
	}
	if err := claims(h, next); err != nil {
		return err
	}
	before := d.entries.get(next.ID)
	var have *uint64
	if before != nil {
		have = &before.Revision
	}
	if err := revised(c.subject(), have, c.IfRevision); err != nil {
		return err
	}
	if other := d.lookup.like(next); other != nil && other.ID != next.ID {
		return broker.Refuse(broker.AlreadyExists, "entry %s gives %s to the same selectors under the same parent already", other.ID, next.SPIFFEID)
	}
	next.CreatedAt, next.Revision = d.act.At, 0
	if before != nil {
		next.CreatedAt, next.Revision = before.CreatedAt, before.Revision
		if d.entries.same(before, next) {
			return nil
		}
		next.Revision++
	}
	d.setEntry(before, next)
	return nil
}

// claims refuses an entry that claims an ID that it may not have, or is for
// everybody.
func claims(h *home, e *workload.Entry) error {
	switch {
	case e.ID == "":
		return broker.Refuse(broker.InvalidArgument, "the entry has no ID")
	case !e.SPIFFEID.MemberOf(h.TrustDomain) || !e.ParentID.MemberOf(h.TrustDomain):
		return broker.Refuse(broker.InvalidArgument, "entry %s: SPIFFE ID %q and parent %q must both be in %s: nobody else's identities are given here", e.ID, e.SPIFFEID, e.ParentID, h.TrustDomain.Name())
	case e.SPIFFEID.Path() == "" || e.ParentID.Path() == "":
		return broker.Refuse(broker.InvalidArgument, "entry %s: SPIFFE ID %q and parent %q must both have a path (X509-SVID §3.1)", e.ID, e.SPIFFEID, e.ParentID)
	case workload.Reserved(e.SPIFFEID.Path()):
		return broker.Refuse(broker.InvalidArgument, "entry %s: %s is reserved for servers and agents", e.ID, e.SPIFFEID)
	case len(e.Selectors) == 0:
		return broker.Refuse(broker.InvalidArgument, "entry %s has no selectors and would be everybody", e.ID)
	}
	return nil
}

// setEntry makes or replaces an entry; before is nil if there is none.
func (d *draft) setEntry(before, after *workload.Entry) {
	if before != nil {
		d.lookup.drop(before)
	}
	d.lookup.add(after)
	d.entries.put(d, after)
	d.touched[after.ID] = struct{}{}
}

// dropEntry deletes an entry.
func (d *draft) dropEntry(e *workload.Entry) {
	d.lookup.drop(e)
	d.entries.drop(d, e)
	d.touched[e.ID] = struct{}{}
}
