package admin

import (
	"context"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/ca"
)

func (s *server) listAuthorities(ctx context.Context, who broker.Caller, _ *request) (any, error) {
	out := client.Authorities{Authorities: []client.Authority{}}
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		all, err := s.registrar.Authorities(ctx, who, use)
		if err != nil {
			return nil, err
		}
		readiness, err := s.registrar.Readiness(ctx, who, use)
		if err != nil {
			return nil, err
		}
		exposed, err := s.registrar.Exposed(ctx, who, use)
		if err != nil {
			return nil, err
		}
		for _, a := range all {
			shown := showAuthority(&a)
			shown.Exposed = exposed[a.ID]
			for _, r := range readiness {
				if r.Authority.ID == a.ID {
					shown.Earliest, shown.Ready = r.Earliest, r.Ready
				}
			}
			out.Authorities = append(out.Authorities, shown)
		}
	}
	return out, nil
}

func (r *request) use() (ca.Use, error) {
	text, err := r.segment("use")
	switch {
	case err != nil:
		return 0, err
	case text == ca.X509.String():
		return ca.X509, nil
	case text == ca.JWT.String():
		return ca.JWT, nil
	}
	return 0, broker.Refuse(broker.InvalidArgument, "%.40q is not a use of an authority: write x509 or jwt", text)
}

// change reads which authority a request is about.
func (r *request) change() (in registrar.ChangeAuthority, err error) {
	if in.Use, err = r.use(); err != nil {
		return in, err
	}
	if in.ID, err = r.segment("id"); err != nil {
		return in, err
	}
	in.DryRun, err = r.dryRun()
	return in, err
}

func (s *server) prepare(ctx context.Context, who broker.Caller, r *request) (any, error) {
	use, err := r.use()
	if err != nil {
		return nil, err
	}
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.PrepareAuthority(ctx, who, registrar.PrepareAuthority{Use: use, KeyType: ca.KeyType(r.query.Get("key_type")), DryRun: dry})
	return outcome(out, err, showAuthority)
}

func (s *server) activate(ctx context.Context, who broker.Caller, r *request) (any, error) {
	in, err := r.change()
	if err != nil {
		return nil, err
	}
	force, err := r.flag("force")
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.ActivateAuthority(ctx, who, in, force)
	return outcome(out, err, showAuthority)
}

func (s *server) taint(ctx context.Context, who broker.Caller, r *request) (any, error) {
	in, err := r.change()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.TaintAuthority(ctx, who, in)
	return outcome(out, err, showAuthority)
}

func (s *server) revoke(ctx context.Context, who broker.Caller, r *request) (any, error) {
	in, err := r.change()
	if err != nil {
		return nil, err
	}
	steps, err := s.registrar.RevokeAuthority(ctx, who, in)
	if err != nil {
		return nil, err
	}
	out := client.Steps{Steps: []client.Step{}}
	for _, step := range steps {
		shown, err := outcome(step.Outcome, nil, showAuthority)
		if err != nil {
			return nil, err
		}
		out.Steps = append(out.Steps, client.Step{Action: step.Verb, Outcome: shown.(client.Outcome[client.Authority])})
	}
	return out, nil
}

func showAuthority(a *ca.Authority) client.Authority {
	return client.Authority{
		ID: a.ID, Use: a.Use.String(), KeyType: string(a.KeyType), Status: a.Status.String(), Tainted: a.Tainted,
		NotBefore: a.NotBefore, NotAfter: a.NotAfter, PreparedAt: a.PreparedAt, ActivatedAt: a.ActivatedAt,
		OldAt: a.OldAt, VouchesUntil: a.VouchesUntil,
	}
}
