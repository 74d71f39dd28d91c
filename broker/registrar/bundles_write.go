package registrar

import (
	"context"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/federation"
)

// BundleFields is a set of a bundle's fields.
type BundleFields uint8

// The fields of a bundle that can be changed.
const (
	BundleX509 BundleFields = 1 << iota
	BundleJWT
	BundleSequence
	BundleHint

	AllBundleFields = BundleHint<<1 - 1
)

// Exists says whether what is set must be there, or must not.
type Exists uint8

// What a SetBundle or SetRelationship expects.
const (
	Either      Exists = iota // create or change
	MustNot                   // create: AlreadyExists otherwise
	MustAlready               // change: NotFound otherwise
)

// SetBundle asks for a bundle of another trust domain to be held as an
// operator gives it. It counts as the latest until the next fetch (SPIFFE
// Federation §4.2).
type SetBundle struct {
	Bundle *federation.Bundle
	Fields BundleFields // of a bundle that is already held; 0: all
	Expect Exists
	DryRun bool
}

// SetBundle sets the bundle of another trust domain. It refuses keys that
// belong to this or a third domain. An older sequence is accepted, because an
// operator says so.
func (r *Registrar) SetBundle(ctx context.Context, who broker.Caller, in SetBundle) (Outcome[federation.Published], error) {
	out := Outcome[federation.Published]{DryRun: in.DryRun}
	if err := may(who, "set bundles", broker.RoleAdmin); err != nil {
		return out, err
	}
	if in.Bundle == nil {
		return out, broker.Refuse(broker.InvalidArgument, "bundle is missing")
	}
	td := in.Bundle.TrustDomain
	if err := r.foreign(td); err != nil {
		return out, err
	}
	given, err := federation.Publish(in.Bundle)
	if err != nil {
		return out, invalid(err)
	}
	act, err := act(who, "set bundle", td.Name(), given.Document, in.Fields, in.Expect)
	if err != nil {
		return out, err
	}
	return confirmed(ctx, r, func() (Outcome[federation.Published], error) { return r.putBundle(ctx, act, given, in) })
}

// putBundle proposes given for what is held now, until nobody comes in between.
func (r *Registrar) putBundle(ctx context.Context, act broker.Act, given *federation.Published, in SetBundle) (Outcome[federation.Published], error) {
	out, td := Outcome[federation.Published]{DryRun: in.DryRun}, given.Bundle.TrustDomain
	err := retry(act, true, func(act broker.Act) error {
		out.Before = r.parts.Ledger.View().Foreign(td)
		c := state.PutBundle{TrustDomain: td, Document: given.Document, Origin: state.OriginOperator}
		switch {
		case out.Before == nil && in.Expect == MustAlready:
			return noSuchBundle(td)
		case out.Before != nil && in.Expect != MustNot: // else the state refuses it
			merged, err := in.Fields.merge(out.Before, given)
			if err != nil {
				return err
			}
			c.Document, c.IfDocument = merged.Document, out.Before.Digest
		}
		view, index, err := r.carryOut(ctx, act, c, in.DryRun)
		out.Index = index
		if out.Before == nil && in.Expect == Either && broker.CodeOf(err) == broker.AlreadyExists {
			return broker.Refuse(broker.Aborted, "the bundle of %s was fetched meanwhile: try again", td)
		}
		if err != nil {
			return err
		}
		out.After = view.Foreign(td)
		return nil
	})
	return out, err
}

// merge returns what is held with the given fields of given.
func (fields BundleFields) merge(held, given *federation.Published) (*federation.Published, error) {
	if fields == 0 || fields == AllBundleFields {
		return given, nil
	}
	b := *held.Bundle
	if fields&BundleX509 != 0 {
		b.X509 = given.Bundle.X509
	}
	if fields&BundleJWT != 0 {
		b.JWT = given.Bundle.JWT
	}
	if fields&BundleSequence != 0 {
		b.Sequence, b.Sequenced = given.Bundle.Sequence, given.Bundle.Sequenced
	}
	if fields&BundleHint != 0 {
		b.Hint, b.Hinted = given.Bundle.Hint, given.Bundle.Hinted
	}
	merged, err := federation.Publish(&b)
	return merged, invalid(err)
}

// DeleteMode is what becomes of the entries that federate with a domain whose
// bundle is deleted.
type DeleteMode uint8

// The modes, with the numbers of state.DeleteMode.
const (
	Restrict   DeleteMode = 0 // FailedPrecondition while there is one
	DeleteThem DeleteMode = 1 // they are deleted too
	Dissociate DeleteMode = 2 // the domain is taken out of them
)

// DeleteBundle asks for a bundle of another trust domain not to be held.
type DeleteBundle struct {
	TrustDomain spiffeid.TrustDomain
	Mode        DeleteMode
	DryRun      bool
}

// DeleteBundle deletes the bundle of another trust domain. Entries that
// federate with it stand in the way, lose it, or are deleted with it, as Mode
// says. NotFound if none is held.
func (r *Registrar) DeleteBundle(ctx context.Context, who broker.Caller, in DeleteBundle) (Outcome[federation.Published], error) {
	out := Outcome[federation.Published]{DryRun: in.DryRun}
	if err := may(who, "delete bundles", broker.RoleAdmin); err != nil {
		return out, err
	}
	if err := r.foreign(in.TrustDomain); err != nil {
		return out, err
	}
	act, err := act(who, "delete bundle", in.TrustDomain.Name(), in.Mode)
	if err != nil {
		return out, err
	}
	out.Before = r.parts.Ledger.View().Foreign(in.TrustDomain)
	_, out.Index, err = r.carryOut(ctx, act, state.DeleteBundle{TrustDomain: in.TrustDomain, Mode: state.DeleteMode(in.Mode)}, in.DryRun)
	return out, err
}
