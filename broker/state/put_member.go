package state

import (
	"errors"

	"github.com/concord-id/concord/broker"
)

// PutMember records a start of a member, by itself: where it is reached, what it
// runs. The first member ever records itself so; later ones are admitted first.
type PutMember struct {
	Member Member
}

func (c PutMember) kind() kind      { return kindPutMember }
func (c PutMember) subject() string { return subject(memberShape.name, c.Member.ID) }

func (c PutMember) fields(v visitor) Command {
	v.group(1, "member", func() { memberFields(v, &c.Member) })
	return c
}

// Validate says what is wrong with the member.
func (c PutMember) Validate() error {
	if c.Member.Incarnation == 0 {
		return errors.New("a start of a member has no number")
	}
	return c.Member.Validate()
}

func (c PutMember) apply(d *draft) error {
	if _, err := d.home(); err != nil {
		return err
	}
	next := c.Member
	before := d.members.get(next.ID)
	switch {
	case d.removed.get(next.ID) != nil:
		return broker.Refuse(broker.PermissionDenied, "member %s was removed from the cluster: empty its data directory and join with a new token", next.Name)
	case before == nil && d.members.count() > 0:
		return broker.Refuse(broker.NotFound, "no member has the key %.12s: a node joins with a token first", next.ID)
	case before != nil && next.Incarnation <= before.Incarnation:
		return broker.Refuse(broker.FailedPrecondition, "member %s says that this is its start %d, and start %d is recorded: another process has run as this node since this copy of its data was made; "+
			"remove the member and join anew with an empty data directory", next.Name, next.Incarnation, before.Incarnation)
	}
	if err := d.nameIsFree(next); err != nil {
		return err
	}
	next.JoinedAt = d.act.At
	if before != nil {
		next.JoinedAt = before.JoinedAt
	}
	d.members.put(d, &next)
	d.change.Members = true
	return nil
}
