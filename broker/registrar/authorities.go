package registrar

import (
	"context"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// Authorities returns the authorities of a use, the first prepared first.
// Their sealed keys are left out.
func (r *Registrar) Authorities(ctx context.Context, who broker.Caller, use ca.Use) ([]ca.Authority, error) {
	view, err := r.read(ctx, who, "read authorities")
	if err != nil {
		return nil, err
	}
	if err := known(use); err != nil {
		return nil, err
	}
	return shownOf(view, use), nil
}

func shownOf(view *state.View, use ca.Use) []ca.Authority {
	var out []ca.Authority
	for _, a := range view.Authorities(use) {
		out = append(out, *shown(a))
	}
	return out
}

// Readiness is whether a prepared authority may be activated without force.
type Readiness struct {
	Authority ca.Authority
	Ready     bool
	Earliest  time.Time // when the publication window is over
}

// Readiness returns the readiness of each prepared authority of a use.
func (r *Registrar) Readiness(ctx context.Context, who broker.Caller, use ca.Use) ([]Readiness, error) {
	authorities, err := r.Authorities(ctx, who, use)
	if err != nil {
		return nil, err
	}
	domain, err := r.domain()
	if err != nil {
		return nil, err
	}
	var out []Readiness
	for _, a := range authorities {
		if a.Status == ca.Prepared {
			earliest := ca.Earliest(a, domain.Settings.PublicationWindow)
			out = append(out, Readiness{Authority: a, Earliest: earliest, Ready: !time.Now().Before(earliest)})
		}
	}
	return out, nil
}

// shown is an authority as it may be shown: without its sealed key.
func shown(a ca.Authority) *ca.Authority {
	a.Sealed = nil
	return &a
}

// authority returns an authority as it may be shown, nil if there is none.
func authority(view *state.View, use ca.Use, id string) *ca.Authority {
	a, ok := view.Authority(use, id)
	if !ok {
		return nil
	}
	return shown(a)
}

func known(use ca.Use) error {
	if use != ca.X509 && use != ca.JWT {
		return broker.Refuse(broker.InvalidArgument, "%s is not a use of an authority: say x509 or jwt", use)
	}
	return nil
}

// Terms are what the life of authorities depends on, as view has it. staleness
// is how long a node without a leader goes on issuing. It looks at every entry.
func Terms(view *state.View, staleness time.Duration) ca.Terms {
	domain, _ := view.Domain()
	terms := termsOf(domain.Settings, staleness)
	for e := range view.Entries() {
		terms.JWTTTL = max(terms.JWTTTL, e.JWTTTL)
	}
	return terms
}

// termsOf are the terms of a domain without entries.
func termsOf(s Settings, staleness time.Duration) ca.Terms {
	return ca.Terms{
		Window:          s.PublicationWindow,
		AuthorityTTL:    s.RootTTL,
		IntermediateTTL: s.IntermediateTTL,
		JWTTTL:          s.JWTTTL,
		Staleness:       staleness,
	}
}
