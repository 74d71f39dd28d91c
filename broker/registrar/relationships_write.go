package registrar

import (
	"context"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/federation"
)

// RelationshipFields is a set of a relationship's fields.
type RelationshipFields uint8

// The fields of a relationship that can be changed.
const (
	RelationshipURL     RelationshipFields = 1 << iota
	RelationshipProfile                    // with EndpointID
	RelationshipRoots

	AllRelationshipFields = RelationshipRoots<<1 - 1
)

// SetRelationship asks for a relationship to be as given.
type SetRelationship struct {
	Relationship federation.Relationship
	Fields       RelationshipFields // of one that already exists; 0: all
	Expect       Exists
	// Bundle, if not nil, is the bundle of the same trust domain to begin with;
	// it replaces one that is held.
	Bundle *federation.Bundle
	// IfRevision refuses with Aborted unless the relationship has this revision;
	// nil changes whatever revision there is.
	IfRevision *uint64
	DryRun     bool
}

// SetRelationship creates or changes the relationship with another trust
// domain. Whether its endpoint answers is not asked. A Bundle is tried first,
// so that one that would be refused leaves nothing behind. With a new
// relationship it is also set first: the first poll finds what authenticates
// the endpoint, and what it fetches is not replaced by an older bundle.
func (r *Registrar) SetRelationship(ctx context.Context, who broker.Caller, in SetRelationship) (Outcome[federation.Relationship], error) {
	out := Outcome[federation.Relationship]{DryRun: in.DryRun}
	if err := may(who, "change relationships", broker.RoleAdmin); err != nil {
		return out, err
	}
	if err := r.foreign(in.Relationship.TrustDomain); err != nil {
		return out, err
	}
	first, err := in.firstBundle()
	if err != nil {
		return out, err
	}
	act, err := act(who, "set relationship", in.Relationship, in.Fields, in.Expect, in.IfRevision, first.Document)
	if err != nil {
		return out, err
	}
	bundleAct := act
	bundleAct.RequestID += ".bundle"
	if in.Bundle != nil {
		if _, err := r.putBundle(ctx, bundleAct, first, SetBundle{DryRun: true}); err != nil {
			return out, err
		}
	}
	begins := r.begins(in)
	if begins {
		if _, err := r.putBundle(ctx, bundleAct, first, SetBundle{}); err != nil {
			return out, err
		}
	}
	out, err = confirmed(ctx, r, func() (Outcome[federation.Relationship], error) { return r.putRelationship(ctx, act, in) })
	if err != nil || begins || in.Bundle == nil || in.DryRun {
		return out, err
	}
	set, err := r.putBundle(ctx, bundleAct, first, SetBundle{})
	out.Index = max(out.Index, set.Index)
	return out, err
}

// begins reports whether in makes a new relationship that has a first bundle,
// as far as this can be known before it is tried.
func (r *Registrar) begins(in SetRelationship) bool {
	if in.Bundle == nil || in.DryRun || in.Expect == MustAlready || in.IfRevision != nil || in.Relationship.Validate() != nil {
		return false
	}
	_, exists := r.parts.Ledger.View().Relationship(in.Relationship.TrustDomain)
	return !exists
}

// putRelationship proposes what was asked for of what there is now, until
// nobody comes in between.
func (r *Registrar) putRelationship(ctx context.Context, act broker.Act, in SetRelationship) (Outcome[federation.Relationship], error) {
	out, td := Outcome[federation.Relationship]{DryRun: in.DryRun}, in.Relationship.TrustDomain
	err := retry(act, in.IfRevision == nil, func(act broker.Act) error {
		out.Before, out.After = nil, nil
		if before, ok := r.parts.Ledger.View().Relationship(td); ok {
			out.Before = &before
		}
		c, err := in.command(out.Before)
		if err != nil {
			return err
		}
		view, index, err := r.carryOut(ctx, act, c, in.DryRun)
		out.Index = index
		if err != nil {
			return err
		}
		if after, ok := view.Relationship(td); ok {
			out.After = &after
		}
		return nil
	})
	return out, err
}

// firstBundle is the bundle that came with the relationship; one without
// content if none did.
func (in SetRelationship) firstBundle() (*federation.Published, error) {
	td := in.Relationship.TrustDomain
	switch {
	case in.Bundle == nil:
		return &federation.Published{}, nil
	case in.Bundle.TrustDomain != td:
		return nil, broker.Refuse(broker.InvalidArgument, "the bundle is of %s and the relationship with %s: give the bundle of the same trust domain", in.Bundle.TrustDomain, td)
	}
	first, err := federation.Publish(in.Bundle)
	return first, invalid(err)
}

// command is what makes of before what was asked for.
func (in SetRelationship) command(before *federation.Relationship) (state.PutRelationship, error) {
	c := state.PutRelationship{Relationship: in.Relationship}
	if before == nil {
		if in.Expect == MustAlready || in.IfRevision != nil {
			return c, noSuchRelationship(in.Relationship.TrustDomain)
		}
		return c, nil
	}
	if in.Expect == MustNot {
		return c, nil // apply refuses it, with the words for it
	}
	c.Relationship, c.IfRevision = in.Fields.merge(*before, in.Relationship), &before.Revision
	if in.IfRevision != nil {
		c.IfRevision = in.IfRevision
	}
	return c, nil
}

// merge returns onto with the fields of from that are in fields.
func (fields RelationshipFields) merge(onto, from federation.Relationship) federation.Relationship {
	if fields == 0 {
		fields = AllRelationshipFields
	}
	if fields&RelationshipURL != 0 {
		onto.URL = from.URL
	}
	if fields&RelationshipProfile != 0 {
		onto.Profile, onto.EndpointID = from.Profile, from.EndpointID
	}
	if fields&RelationshipRoots != 0 {
		onto.Roots = from.Roots
	}
	return onto
}

// DeleteRelationship asks for a relationship to end.
type DeleteRelationship struct {
	TrustDomain spiffeid.TrustDomain
	DryRun      bool
}

// DeleteRelationship ends a relationship and deletes the bundle that it
// brought (SPIFFE Federation §6.3). Entries keep the name of the domain, so
// that it can come back. NotFound if there is no such relationship.
func (r *Registrar) DeleteRelationship(ctx context.Context, who broker.Caller, in DeleteRelationship) (Outcome[federation.Relationship], error) {
	out := Outcome[federation.Relationship]{DryRun: in.DryRun}
	if err := may(who, "end relationships", broker.RoleAdmin); err != nil {
		return out, err
	}
	if in.TrustDomain.IsZero() {
		return out, broker.Refuse(broker.InvalidArgument, "trust domain is missing: say which one, such as partner.example")
	}
	act, err := act(who, "delete relationship", in.TrustDomain.Name())
	if err != nil {
		return out, err
	}
	if before, ok := r.parts.Ledger.View().Relationship(in.TrustDomain); ok {
		out.Before = &before
	}
	_, out.Index, err = r.carryOut(ctx, act, state.DeleteRelationship{TrustDomain: in.TrustDomain}, in.DryRun)
	return out, err
}
