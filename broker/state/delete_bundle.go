package state

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/workload"
)

// DeleteBundle deletes another domain's bundle. The relationship stays.
type DeleteBundle struct {
	TrustDomain spiffeid.TrustDomain
	Mode        DeleteMode
}

// DeleteMode is what becomes of the entries that federate with the domain.
type DeleteMode uint8

// The modes, with the numbers that SPIRE's API gives them; they are in the log
// and never change.
const (
	Restrict   DeleteMode = 0 // refuse while an entry federates with it
	DeleteThem DeleteMode = 1 // delete those entries
	Dissociate DeleteMode = 2 // take the domain out of those entries
)

func (m DeleteMode) String() string {
	switch m {
	case Restrict:
		return "restrict"
	case DeleteThem:
		return "delete"
	case Dissociate:
		return "dissociate"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

func (c DeleteBundle) kind() kind      { return kindDeleteBundle }
func (c DeleteBundle) subject() string { return subject(foreignShape.name, c.TrustDomain.Name()) }

func (c DeleteBundle) fields(v visitor) Command {
	domain(v, 1, "trust_domain", &c.TrustDomain)
	small(v, 2, "mode", &c.Mode, DeleteMode.String)
	return c
}

// Validate wants a trust domain and a mode that is known.
func (c DeleteBundle) Validate() error {
	switch {
	case c.TrustDomain.IsZero():
		return errors.New("no bundle was named: give its trust domain")
	case c.Mode > Dissociate:
		return fmt.Errorf("%s is not known: choose restrict, delete or dissociate", c.Mode)
	}
	return nil
}

func (c DeleteBundle) apply(d *draft) error {
	if err := d.foreigner(c.TrustDomain, "the end of a bundle"); err != nil {
		return err
	}
	f := d.bundles.get(c.TrustDomain.Name())
	if f == nil {
		return broker.Refuse(broker.NotFound, "there is no bundle of %.80q", c.TrustDomain.Name())
	}
	for _, e := range d.federated(c.TrustDomain) {
		switch c.Mode {
		case DeleteThem:
			d.dropEntry(e)
		case Dissociate:
			d.setEntry(e, without(e, c.TrustDomain))
		default:
			return broker.Refuse(broker.FailedPrecondition, "bundle of %s: entry %s federates with it; choose whether such entries are dissociated or deleted", c.TrustDomain.Name(), e.ID)
		}
	}
	d.dropBundle(f)
	return nil
}

// federated returns the entries that federate with td. It looks at all of
// them: a person deletes a bundle seldom, and an index costs every entry.
func (d *draft) federated(td spiffeid.TrustDomain) []*workload.Entry {
	var all []*workload.Entry
	for e := range d.entries.from("") {
		if _, found := slices.BinarySearchFunc(e.FederatesWith, td, spiffeid.TrustDomain.Compare); found {
			all = append(all, e)
		}
	}
	return all
}

// without returns e as its next revision, not federated with td any more.
func without(e *workload.Entry, td spiffeid.TrustDomain) *workload.Entry {
	next := *e
	next.FederatesWith = nil
	for _, other := range e.FederatesWith {
		if other != td {
			next.FederatesWith = append(next.FederatesWith, other)
		}
	}
	next.Revision++
	return &next
}
