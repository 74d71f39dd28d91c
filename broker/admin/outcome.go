package admin

import (
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

// outcome shows what a write did.
func outcome[T, D any](o registrar.Outcome[T], err error, show func(*T) D) (any, error) {
	if err != nil {
		return nil, err
	}
	out := client.Outcome[D]{Index: o.Index, DryRun: o.DryRun, Warning: o.Warning}
	if o.Before != nil {
		before := show(o.Before)
		out.Before = &before
	}
	if o.After != nil {
		after := show(o.After)
		out.After = &after
	}
	return out, nil
}

// made shows what a write did that makes a resource, and where it is.
func made[T, D any](o registrar.Outcome[T], err error, show func(*T) D, path func(D) string) (any, error) {
	document, err := outcome(o, err, show)
	if err != nil || o.DryRun || o.After == nil {
		return document, err
	}
	return created{path(show(o.After)), document}, nil
}
