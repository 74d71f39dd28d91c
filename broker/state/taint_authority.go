package state

import (
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
)

// TaintAuthority says that an authority's key may be in other hands. The
// active one cannot be tainted: activate the next one first.
type TaintAuthority struct {
	Use ca.Use
	ID  string
}

func (c TaintAuthority) kind() kind { return kindTaintAuthority }

func (c TaintAuthority) subject() string {
	return subject(authorityShape.name, authorityKey(c.Use, c.ID))
}

func (c TaintAuthority) fields(v visitor) Command {
	small(v, 1, "use", &c.Use, ca.Use.String)
	v.text(2, "id", &c.ID)
	return c
}

// Validate wants an authority.
func (c TaintAuthority) Validate() error { return validateName(c.Use, c.ID) }

func (c TaintAuthority) apply(d *draft) error {
	a, err := d.named(c.Use, c.ID)
	switch {
	case err != nil:
		return err
	case a.Status == ca.Active:
		return broker.Refuse(broker.InvalidArgument, "%s authority %s is active and cannot be tainted: activate the next one first", c.Use, c.ID)
	case a.Tainted:
		return broker.Refuse(broker.FailedPrecondition, "%s authority %s is tainted already", c.Use, c.ID)
	}
	tainted := *a
	tainted.Tainted = true
	d.authorities.put(d, &tainted)
	d.change.Authorities = true
	return nil
}
