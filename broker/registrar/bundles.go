package registrar

import (
	"context"
	"iter"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// OwnBundle returns the bundle of this trust domain. It is public: a caller
// needs no role.
func (r *Registrar) OwnBundle(ctx context.Context, who broker.Caller) (*federation.Published, error) {
	own, _, err := r.OwnBundleAndAuthorities(ctx, who)
	return own, err
}

// OwnBundleAndAuthorities returns the bundle of this trust domain with the
// authorities that it was made of, without their sealed keys. Both are public.
func (r *Registrar) OwnBundleAndAuthorities(ctx context.Context, who broker.Caller) (*federation.Published, []ca.Authority, error) {
	if err := r.caughtUp(ctx, who.SeenIndex); err != nil {
		return nil, nil, err
	}
	view := r.parts.Ledger.View()
	own := view.Own()
	if own == nil {
		return nil, nil, notSetUp()
	}
	return own, append(shownOf(view, ca.X509), shownOf(view, ca.JWT)...), nil
}

// Bundle returns the bundle held of another trust domain, NotFound if none is.
func (r *Registrar) Bundle(ctx context.Context, who broker.Caller, td spiffeid.TrustDomain) (*federation.Published, error) {
	view, err := r.read(ctx, who, "read bundles")
	if err != nil {
		return nil, err
	}
	if err := r.foreign(td); err != nil {
		return nil, err
	}
	if held := view.Foreign(td); held != nil {
		return held, nil
	}
	return confirmed(ctx, r, func() (*federation.Published, error) {
		held := r.parts.Ledger.View().Foreign(td)
		if held == nil {
			return nil, noSuchBundle(td)
		}
		return held, nil
	})
}

// Bundles lists the bundles held of other trust domains, by name.
func (r *Registrar) Bundles(ctx context.Context, who broker.Caller, page Page) (Listing[*federation.Published], error) {
	view, err := r.read(ctx, who, "list bundles")
	if err != nil {
		return Listing[*federation.Published]{}, err
	}
	return list(kindBundles, page, view.Index(), func(string) iter.Seq[*federation.Published] {
		return view.Bundles()
	}, func(p *federation.Published) string { return p.Bundle.TrustDomain.Name() }, everything)
}

// CountBundles counts the bundles held, this trust domain's own among them.
func (r *Registrar) CountBundles(ctx context.Context, who broker.Caller) (int, error) {
	view, err := r.read(ctx, who, "count bundles")
	if err != nil {
		return 0, err
	}
	if view.Own() == nil {
		return view.BundleCount(), nil
	}
	return 1 + view.BundleCount(), nil
}

// foreign refuses a trust domain that is missing or ours.
func (r *Registrar) foreign(td spiffeid.TrustDomain) error {
	if td.IsZero() {
		return broker.Refuse(broker.InvalidArgument, "trust domain is missing: say which one, such as partner.example")
	}
	domain, err := r.domain()
	if err != nil {
		return err
	}
	if td == domain.TrustDomain {
		return broker.Refuse(broker.InvalidArgument, "%s is this trust domain itself: name another one; our own bundle follows our own authorities only", td)
	}
	return nil
}

func noSuchBundle(td spiffeid.TrustDomain) error {
	return broker.Refuse(broker.NotFound, "no bundle of %s is held: create a relationship with it, or set its bundle", td)
}
