package state

import (
	"errors"
	"slices"

	"github.com/concord-id/concord/broker"
)

// MaxRemoved is how many removed members are remembered.
const MaxRemoved = 10_000

// RemoveMember takes a node out of the cluster, for ever: its key is not
// admitted again. Of one that was taken out before, it can still say that it is
// compromised, or that there is no time to wait.
type RemoveMember struct {
	ID          string
	Compromised bool
	// Force has the authorities that a compromised member could open replaced
	// without waiting for the publication window.
	Force bool
}

func (c RemoveMember) kind() kind      { return kindRemoveMember }
func (c RemoveMember) subject() string { return subject(memberShape.name, c.ID) }

func (c RemoveMember) fields(v visitor) Command {
	v.text(1, "id", &c.ID)
	v.flag(2, "compromised", &c.Compromised)
	v.flag(3, "force", &c.Force)
	return c
}

// Validate wants a member's ID, and nothing to be forced of one that is trusted.
func (c RemoveMember) Validate() error {
	if c.Force && !c.Compromised {
		return errors.New("only of a compromised member there are authorities to replace at once: say that it is compromised, or do not force anything")
	}
	return validateKeyHash("a member", c.ID)
}

func (c RemoveMember) apply(d *draft) error {
	member := d.members.get(c.ID)
	switch {
	case member == nil:
		return c.again(d)
	case d.members.count() == 1:
		return broker.Refuse(broker.FailedPrecondition, "%s is the only member: a cluster without members is no cluster", member.Name)
	case d.removed.count() >= MaxRemoved:
		return broker.Refuse(broker.ResourceExhausted, "%d members have been removed already, the most is %d", d.removed.count(), MaxRemoved)
	}
	d.members.drop(d, member)
	d.removed.put(d, &Removed{ID: c.ID, Name: member.Name, At: d.act.At, Compromised: c.Compromised, Force: c.Force})
	d.change.Members = true
	if last := d.duties.get(""); last != nil && slices.Contains(last.Live, c.ID) {
		live := slices.DeleteFunc(slices.Clone(last.Live), func(id string) bool { return id == c.ID })
		d.duties.put(d, &Duties{Epoch: last.Epoch + 1, Live: live})
		d.change.Duties = true
	}
	return nil
}

// again is for a node that is no member any more.
func (c RemoveMember) again(d *draft) error {
	removed := d.removed.get(c.ID)
	news := removed != nil && c.Compromised && (!removed.Compromised || c.Force && !removed.Force)
	if !news {
		return broker.Refuse(broker.NotFound, "there is no member with the ID %.12s…", c.ID)
	}
	compromised := *removed
	if !removed.Compromised {
		compromised.Resealed = 0 // what it could open is to be found out, at the next Reseal
	}
	compromised.Compromised, compromised.Force = true, removed.Force || c.Force
	d.removed.put(d, &compromised)
	d.change.Members = true
	return nil
}
