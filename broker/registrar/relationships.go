package registrar

import (
	"context"
	"iter"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/federation"
)

// Peer is a relationship and how it fares.
type Peer struct {
	Relationship federation.Relationship
	Bundle       *federation.Published // what is held of it; nil if nothing is
	Status       federation.Status     // as the node that follows it knows; the zero value if none does yet
}

// Relationship returns the relationship with td, NotFound if there is none.
func (r *Registrar) Relationship(ctx context.Context, who broker.Caller, td spiffeid.TrustDomain) (Peer, error) {
	view, err := r.read(ctx, who, "read relationships")
	if err != nil {
		return Peer{}, err
	}
	if td.IsZero() {
		return Peer{}, broker.Refuse(broker.InvalidArgument, "trust domain is missing: say which one, such as partner.example")
	}
	if relationship, ok := view.Relationship(td); ok {
		return r.peer(view, relationship), nil
	}
	return confirmed(ctx, r, func() (Peer, error) {
		view := r.parts.Ledger.View()
		relationship, ok := view.Relationship(td)
		if !ok {
			return Peer{}, noSuchRelationship(td)
		}
		return r.peer(view, relationship), nil
	})
}

// Relationships lists the relationships by the trust domains' names.
func (r *Registrar) Relationships(ctx context.Context, who broker.Caller, page Page) (Listing[Peer], error) {
	view, err := r.read(ctx, who, "list relationships")
	if err != nil {
		return Listing[Peer]{}, err
	}
	return list(kindRelationships, page, view.Index(), func(string) iter.Seq[Peer] {
		return func(yield func(Peer) bool) {
			for relationship := range view.Relationships() {
				if !yield(r.peer(view, relationship)) {
					return
				}
			}
		}
	}, func(p Peer) string { return p.Relationship.TrustDomain.Name() }, everything)
}

// Refresh polls the bundle of td now, waits for the answer and returns how it
// went. NotFound if there is no relationship with td; a poll that fails is not
// an error, Status.LastError says why.
func (r *Registrar) Refresh(ctx context.Context, who broker.Caller, td spiffeid.TrustDomain) (Peer, error) {
	if err := may(who, "refresh bundles", broker.RoleAdmin); err != nil {
		return Peer{}, err
	}
	if err := r.foreign(td); err != nil {
		return Peer{}, err
	}
	if _, err := r.Relationship(ctx, who, td); err != nil {
		return Peer{}, err
	}
	status, err := r.parts.Peers.Refresh(ctx, td)
	view := r.parts.Ledger.View()
	relationship, ok := view.Relationship(td)
	if !ok { // it was removed meanwhile, which ends the poll
		return Peer{}, noSuchRelationship(td)
	}
	if err != nil {
		return Peer{}, err
	}
	return Peer{Relationship: relationship, Bundle: view.Foreign(td), Status: status}, nil
}

func (r *Registrar) peer(view *state.View, relationship federation.Relationship) Peer {
	status, _ := r.parts.Peers.Status(relationship.TrustDomain)
	return Peer{Relationship: relationship, Bundle: view.Foreign(relationship.TrustDomain), Status: status}
}

func noSuchRelationship(td spiffeid.TrustDomain) error {
	return broker.Refuse(broker.NotFound, "there is no relationship with %s: create one first", td)
}
