package state

import (
	"errors"
	"fmt"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
)

// ActivateAuthority makes the prepared authority the one that signs; the one
// that did becomes old. It is refused inside the publication window.
type ActivateAuthority struct {
	Use   ca.Use
	ID    string
	Force bool // do not wait for the publication window
	// VouchFor is how long after the activation the old authority still vouches
	// for an SVID on the slowest node, bounded by its own end.
	VouchFor time.Duration
}

func (c ActivateAuthority) kind() kind { return kindActivateAuthority }

func (c ActivateAuthority) subject() string {
	return subject(authorityShape.name, authorityKey(c.Use, c.ID))
}

func (c ActivateAuthority) fields(v visitor) Command {
	small(v, 1, "use", &c.Use, ca.Use.String)
	v.text(2, "id", &c.ID)
	v.flag(3, "force", &c.Force)
	v.span(4, "vouch_for", &c.VouchFor)
	return c
}

// Validate wants an authority, and a time to vouch for that is not negative.
func (c ActivateAuthority) Validate() error {
	if c.VouchFor < 0 || c.VouchFor > MaxTTL {
		return fmt.Errorf("the authority before cannot vouch for %s more: choose 0s to %s", c.VouchFor, MaxTTL)
	}
	return validateName(c.Use, c.ID)
}

// validateName wants an authority to be named.
func validateName(use ca.Use, id string) error {
	if use != ca.X509 && use != ca.JWT {
		return fmt.Errorf("%s is not known: choose x509 or jwt", use)
	}
	if id == "" {
		return errors.New("no authority was named: give its ID")
	}
	return nil
}

func (c ActivateAuthority) apply(d *draft) error {
	h, err := d.home()
	if err != nil {
		return err
	}
	next, err := d.named(c.Use, c.ID)
	if err != nil {
		return err
	}
	if err := c.due(d, h, next); err != nil {
		return err
	}
	for _, o := range d.authoritiesOf(c.Use) {
		if o.Status == ca.Active {
			d.retire(o, c.VouchFor)
		}
	}
	active := *next
	active.Status, active.ActivatedAt = ca.Active, d.act.At
	d.authorities.put(d, &active)
	d.change.Authorities = true
	return nil
}

// due refuses an authority that may not sign now.
func (c ActivateAuthority) due(d *draft, h *home, a *ca.Authority) error {
	earliest := ca.Earliest(*a, h.Settings.PublicationWindow)
	switch {
	case a.Status != ca.Prepared:
		return broker.Refuse(broker.FailedPrecondition, "%s authority %s is %s: only a prepared one is activated", c.Use, c.ID, a.Status)
	case a.Tainted:
		return broker.Refuse(broker.FailedPrecondition, "%s authority %s is tainted and never signs: prepare another", c.Use, c.ID)
	case !d.act.At.Before(a.NotAfter):
		return broker.Refuse(broker.FailedPrecondition, "%s authority %s has ended at %s: prepare another", c.Use, c.ID, stamp(a.NotAfter))
	case d.act.At.Before(a.NotBefore):
		return broker.Refuse(broker.FailedPrecondition, "%s authority %s begins at %s only", c.Use, c.ID, stamp(a.NotBefore))
	case !c.Force && d.act.At.Before(earliest):
		return broker.Refuse(broker.FailedPrecondition, "%s authority %s may sign from %s: until then not everybody who follows our bundle has fetched it", c.Use, c.ID, stamp(earliest))
	}
	return nil
}

// retire makes the active authority old.
func (d *draft) retire(a *ca.Authority, vouchFor time.Duration) {
	old := *a
	old.Status, old.OldAt, old.VouchesUntil = ca.Old, d.act.At, d.act.At.Add(vouchFor)
	if old.VouchesUntil.After(old.NotAfter) {
		old.VouchesUntil = old.NotAfter
	}
	d.authorities.put(d, &old)
}
