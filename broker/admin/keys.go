package admin

import (
	"context"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

func (s *server) rekey(ctx context.Context, who broker.Caller, r *request) (any, error) {
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.Rekey(ctx, who, dry)
	return outcome(out, err, func(k *registrar.Rekeyed) client.Rekeyed {
		shown := client.Rekeyed{KEK: k.KEK, Since: k.Index, Members: []client.KEKHolder{}}
		for _, m := range k.Members {
			shown.Members = append(shown.Members, client.KEKHolder{Name: m.Name, Has: m.Has, Why: m.Why})
		}
		return shown
	})
}

func showKeyCare(k registrar.KeyCare) client.KeyCare {
	shown := client.KeyCare{
		KEK: k.KEK, Provided: k.Provided, SealedAt: k.SealedAt, Since: k.Index, Pending: k.Pending, Asked: k.Due.Asked,
		Turning: []client.TurningAuthority{}, AtOnce: k.AtOnce, Trouble: k.Trouble,
	}
	for _, m := range k.Due.Removed {
		shown.Removed = append(shown.Removed, m.Name)
	}
	for _, t := range k.Turning {
		one := client.TurningAuthority{Use: t.Authority.Use.String(), ID: t.Authority.ID, Status: t.Authority.Status.String(), Tainted: t.Authority.Tainted}
		if t.Next != nil {
			one.Next, one.Earliest = t.Next.ID, t.Earliest
		}
		shown.Turning = append(shown.Turning, one)
	}
	return shown
}
