package state

import (
	"errors"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
)

// DeleteRelationship ends the relationship with a trust domain and deletes its
// bundle with it (SPIFFE Federation §6.3).
type DeleteRelationship struct {
	TrustDomain spiffeid.TrustDomain
}

func (c DeleteRelationship) kind() kind { return kindDeleteRelationship }

func (c DeleteRelationship) subject() string {
	return subject(relationshipShape.name, c.TrustDomain.Name())
}

func (c DeleteRelationship) fields(v visitor) Command {
	domain(v, 1, "trust_domain", &c.TrustDomain)
	return c
}

// Validate wants a trust domain.
func (c DeleteRelationship) Validate() error {
	if c.TrustDomain.IsZero() {
		return errors.New("no relationship was named: give its trust domain")
	}
	return nil
}

func (c DeleteRelationship) apply(d *draft) error {
	r := d.relationships.get(c.TrustDomain.Name())
	if r == nil {
		return broker.Refuse(broker.NotFound, "there is no relationship with %.80q", c.TrustDomain.Name())
	}
	d.relationships.drop(d, r)
	d.change.Relationships = append(d.change.Relationships, c.TrustDomain)
	if f := d.bundles.get(c.TrustDomain.Name()); f != nil {
		d.dropBundle(f)
	}
	return nil
}
