package state

import (
	"errors"
	"fmt"

	"github.com/concord-id/concord/broker"
)

// PutDuties says who is alive, by the leader.
type PutDuties struct {
	Duties Duties // Epoch is one more than the one there is
}

func (c PutDuties) kind() kind      { return kindPutDuties }
func (c PutDuties) subject() string { return dutiesShape.name }

func (c PutDuties) fields(v visitor) Command {
	v.group(1, "duties", func() { dutiesFields(v, &c.Duties) })
	return c
}

// Validate wants an epoch, and at least one member, in order.
func (c PutDuties) Validate() error {
	if c.Duties.Epoch == 0 {
		return errors.New("duties have no epoch")
	}
	if n := len(c.Duties.Live); n == 0 || n > MaxMembers {
		return fmt.Errorf("duties name %d members, not 1 to %d", n, MaxMembers)
	}
	for i, id := range c.Duties.Live {
		if err := validateKeyHash("a member", id); err != nil {
			return err
		}
		if i > 0 && c.Duties.Live[i-1] >= id {
			return fmt.Errorf("duties name members that are not sorted, or %.12s twice", id)
		}
	}
	return nil
}

func (c PutDuties) apply(d *draft) error {
	last := d.duties.get("")
	epoch := uint64(0)
	if last != nil {
		epoch = last.Epoch
	}
	if c.Duties.Epoch != epoch+1 {
		return broker.Refuse(broker.Aborted, "the duties are of epoch %d, and epoch %d is in force: another leader published them meanwhile", c.Duties.Epoch, epoch)
	}
	for _, id := range c.Duties.Live {
		if d.members.get(id) == nil {
			return broker.Refuse(broker.InvalidArgument, "the duties name %.12s, which is no member", id)
		}
	}
	duties := c.Duties
	d.duties.put(d, &duties)
	d.change.Duties = true
	return nil
}
