package state

import "github.com/concord-id/concord/federation"

// PutRelationship makes or replaces the relationship with a trust domain.
// Apply sets CreatedAt and Revision.
type PutRelationship struct {
	Relationship federation.Relationship
	IfRevision   *uint64 // nil: must not exist yet; else the revision that the proposer saw
}

func (c PutRelationship) kind() kind { return kindPutRelationship }

func (c PutRelationship) subject() string {
	return subject(relationshipShape.name, c.Relationship.TrustDomain.Name())
}

func (c PutRelationship) fields(v visitor) Command {
	v.group(1, "relationship", func() { relationshipFields(v, &c.Relationship) })
	v.optional(2, "if_revision", &c.IfRevision)
	return c
}

// Validate says what is wrong with the relationship.
func (c PutRelationship) Validate() error { return c.Relationship.Validate() }

func (c PutRelationship) apply(d *draft) error {
	next := &c.Relationship
	if err := d.foreigner(next.TrustDomain, "a relationship"); err != nil {
		return err
	}
	before := d.relationships.get(next.TrustDomain.Name())
	var have *uint64
	if before != nil {
		have = &before.Revision
	}
	if err := revised(c.subject(), have, c.IfRevision); err != nil {
		return err
	}
	next.CreatedAt, next.Revision = d.act.At, 0
	if before != nil {
		next.CreatedAt, next.Revision = before.CreatedAt, before.Revision
		if d.relationships.same(before, next) {
			return nil
		}
		next.Revision++
	}
	d.relationships.put(d, next)
	d.change.Relationships = append(d.change.Relationships, next.TrustDomain)
	return nil
}
