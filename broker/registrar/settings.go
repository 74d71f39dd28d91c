package registrar

import (
	"context"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// Settings are the domain's policy on time.
type Settings = state.Settings

// Settings returns the domain's settings.
func (r *Registrar) Settings(ctx context.Context, who broker.Caller) (Settings, error) {
	if _, err := r.read(ctx, who, "read settings"); err != nil {
		return Settings{}, err
	}
	domain, err := r.domain()
	return domain.Settings, err
}

// PutSettings asks for other settings.
type PutSettings struct {
	Settings Settings
	DryRun   bool
}

// PutSettings replaces the domain's settings. It refuses lifetimes under which
// an authority could not vouch for all that it signs. Nodes that were told by
// their configuration to set others will do so when they start.
func (r *Registrar) PutSettings(ctx context.Context, who broker.Caller, in PutSettings) (Outcome[Settings], error) {
	out := Outcome[Settings]{DryRun: in.DryRun}
	if err := may(who, "change settings", broker.RoleAdmin, broker.RoleNode); err != nil {
		return out, err
	}
	domain, err := r.domain()
	if err != nil {
		return out, err
	}
	if err := termsOf(in.Settings, r.parts.Staleness).Validate(); err != nil {
		return out, invalid(err)
	}
	act, err := act(who, "put settings", in.Settings)
	if err != nil {
		return out, err
	}
	out.Before = &domain.Settings
	view, index, err := r.carryOut(ctx, act, state.PutSettings{Settings: in.Settings}, in.DryRun)
	out.Index = index
	if err != nil {
		return out, err
	}
	if after, ok := view.Domain(); ok {
		out.After = &after.Settings
	}
	return out, nil
}
