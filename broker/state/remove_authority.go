package state

import (
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
)

// RemoveAuthority takes an authority out of the bundle: an old one whose last
// SVID has ended, a prepared one that ended unused.
type RemoveAuthority struct {
	Use    ca.Use
	ID     string
	Revoke bool // an operator revokes an old or tainted one before its time
}

func (c RemoveAuthority) kind() kind { return kindRemoveAuthority }

func (c RemoveAuthority) subject() string {
	return subject(authorityShape.name, authorityKey(c.Use, c.ID))
}

func (c RemoveAuthority) fields(v visitor) Command {
	small(v, 1, "use", &c.Use, ca.Use.String)
	v.text(2, "id", &c.ID)
	v.flag(3, "revoke", &c.Revoke)
	return c
}

// Validate wants an authority.
func (c RemoveAuthority) Validate() error { return validateName(c.Use, c.ID) }

func (c RemoveAuthority) apply(d *draft) error {
	h, err := d.home()
	if err != nil {
		return err
	}
	a, err := d.named(c.Use, c.ID)
	if err != nil {
		return err
	}
	if err := c.due(d, a); err != nil {
		return err
	}
	d.authorities.drop(d, a)
	if err := d.publish(h); err != nil {
		return broker.Refuse(broker.FailedPrecondition, "%s authority %s: %v", c.Use, c.ID, err)
	}
	d.change.Authorities = true
	return nil
}

// due refuses an authority that something may still need.
func (c RemoveAuthority) due(d *draft, a *ca.Authority) error {
	ended := !d.act.At.Before(a.NotAfter)
	switch {
	case a.Status == ca.Active:
		return broker.Refuse(broker.InvalidArgument, "%s authority %s is active: activate the next one first", c.Use, c.ID)
	case ended, c.Revoke && (a.Tainted || a.Status == ca.Old):
		return nil
	case a.Status == ca.Old && !d.act.At.Before(a.VouchesUntil):
		return nil
	case a.Tainted:
		return broker.Refuse(broker.FailedPrecondition, "%s authority %s is tainted: revoke it, and what it signed ends now", c.Use, c.ID)
	case a.Status == ca.Prepared:
		return broker.Refuse(broker.FailedPrecondition, "%s authority %s is prepared and will be needed: taint it first", c.Use, c.ID)
	default:
		return broker.Refuse(broker.FailedPrecondition, "%s authority %s vouches for SVIDs until %s: revoke it if they must end now", c.Use, c.ID, stamp(a.VouchesUntil))
	}
}
