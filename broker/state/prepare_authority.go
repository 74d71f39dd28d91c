package state

import (
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// MaxAuthoritiesPerUse is how many authorities of a use there may be, the old
// ones included: every one of them is in our bundle.
const MaxAuthoritiesPerUse = 32

// noTime is the moment that has not come.
var noTime time.Time

// PrepareAuthority publishes the next authority of a use. It signs nothing
// until it is activated. Apply sets its status and times.
type PrepareAuthority struct {
	Authority ca.Authority
}

func (c PrepareAuthority) kind() kind { return kindPrepareAuthority }

func (c PrepareAuthority) subject() string {
	return subject(authorityShape.name, authorityKey(c.Authority.Use, c.Authority.ID))
}

func (c PrepareAuthority) fields(v visitor) Command {
	v.group(1, "authority", func() { authorityFields(v, &c.Authority) })
	return c
}

// Validate says what is wrong with the authority. Its status may be left out.
func (c PrepareAuthority) Validate() error {
	a := c.Authority
	if a.Status == 0 {
		a.Status = ca.Prepared
	}
	if a.Status != ca.Prepared {
		return fmt.Errorf("authority %s is %s: a new one is prepared first", a.ID, a.Status)
	}
	return a.Validate(spiffeid.TrustDomain{})
}

func (c PrepareAuthority) apply(d *draft) error {
	h, err := d.home()
	if err != nil {
		return err
	}
	a := c.Authority
	if err := d.room(a); err != nil {
		return err
	}
	if err := d.unheld(h, a); err != nil {
		return err
	}
	if err := d.sealedAsNow(a.ID, a.Sealed); err != nil {
		return err
	}
	a.Status, a.Tainted = ca.Prepared, false
	a.PreparedAt, a.ActivatedAt, a.OldAt, a.VouchesUntil = d.act.At, noTime, noTime, noTime
	a.LargestHint, _ = h.hintInUse(d.act.At)
	d.authorities.put(d, &a)
	if err := d.publish(h); err != nil {
		return broker.Refuse(broker.InvalidArgument, "authority %s: %v", a.ID, err)
	}
	d.change.Authorities = true
	return nil
}

// room refuses an authority that has no place in the life of its use.
func (d *draft) room(a ca.Authority) error {
	if a.Use != ca.X509 && a.Use != ca.JWT {
		return broker.Refuse(broker.InvalidArgument, "authority %s is for %s, which is not known", a.ID, a.Use)
	}
	if !d.act.At.Before(a.NotAfter) {
		return broker.Refuse(broker.InvalidArgument, "authority %s has ended at %s already", a.ID, stamp(a.NotAfter))
	}
	if d.authorities.get(authorityKey(a.Use, a.ID)) != nil {
		return broker.Refuse(broker.AlreadyExists, "%s authority %s exists already", a.Use, a.ID)
	}
	others := d.authoritiesOf(a.Use)
	for _, o := range others {
		if o.Status == ca.Prepared {
			return broker.Refuse(broker.FailedPrecondition, "%s authority %s is prepared already: activate it first, or taint and revoke it", a.Use, o.ID)
		}
	}
	if len(others) >= MaxAuthoritiesPerUse {
		return broker.Refuse(broker.ResourceExhausted, "there are %d %s authorities already: revoke old ones first", len(others), a.Use)
	}
	return nil
}

// sealedAsNow refuses a private key that was sealed before the key-encryption key
// changed: a removed member could open it. Before the first change any will do.
func (d *draft) sealedAsNow(id string, sealed []byte) error {
	s := d.sealing.get("")
	if s == nil || s.KEK == "" || ca.SealedBy(sealed) == s.KEK {
		return nil
	}
	return broker.Refuse(broker.Aborted, "the key of authority %s is sealed with the key-encryption key %q, and %s took its place meanwhile: make it again", id, ca.SealedBy(sealed), s.KEK)
}

// unheld refuses an authority whose key is in a bundle already, ours included.
func (d *draft) unheld(h *home, a ca.Authority) error {
	key, err := a.PublicKey()
	if err != nil {
		return broker.Refuse(broker.InvalidArgument, "%v", err)
	}
	hash, err := federation.HashKey(key)
	if err != nil {
		return broker.Refuse(broker.InvalidArgument, "authority %s: %v", a.ID, err)
	}
	switch holder, held := d.held.holder(hash); {
	case held && holder == h.TrustDomain:
		return broker.Refuse(broker.AlreadyExists, "the key of authority %s is that of another authority of ours: make a new one", a.ID)
	case held:
		return broker.Refuse(broker.FailedPrecondition, "the key of authority %s is in the bundle of %s: make a new one", a.ID, holder.Name())
	}
	return nil
}

// authoritiesOf returns the authorities of a use, sorted by ID.
func (d *draft) authoritiesOf(use ca.Use) []*ca.Authority {
	var all []*ca.Authority
	for a := range d.authorities.from("") {
		if a.Use == use {
			all = append(all, a)
		}
	}
	return all
}

// named returns one authority, or refuses.
func (d *draft) named(use ca.Use, id string) (*ca.Authority, error) {
	if a := d.authorities.get(authorityKey(use, id)); a != nil {
		return a, nil
	}
	return nil, broker.Refuse(broker.NotFound, "there is no %s authority %.80q", use, id)
}

// stamp writes a moment for a person.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
