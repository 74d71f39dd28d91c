package admin

import (
	"context"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

func (s *server) getSettings(ctx context.Context, who broker.Caller, _ *request) (any, error) {
	settings, err := s.registrar.Settings(ctx, who)
	if err != nil {
		return nil, err
	}
	return showSettings(&settings), nil
}

// putSettings wants every setting: one that was left away would not stay as it
// is, and a publication window of nothing is a dangerous thing to forget.
func (s *server) putSettings(ctx context.Context, who broker.Caller, r *request) (any, error) {
	var body client.Settings
	if err := r.body(&body, "refresh_hint", "publication_window", "x509_svid_ttl", "jwt_svid_ttl", "intermediate_ttl", "root_ttl"); err != nil {
		return nil, err
	}
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	out, err := s.registrar.PutSettings(ctx, who, registrar.PutSettings{DryRun: dry, Settings: registrar.Settings{
		RefreshHint: time.Duration(body.RefreshHint), PublicationWindow: time.Duration(body.PublicationWindow),
		X509TTL: time.Duration(body.X509TTL), JWTTTL: time.Duration(body.JWTTTL),
		IntermediateTTL: time.Duration(body.IntermediateTTL), RootTTL: time.Duration(body.RootTTL),
	}})
	return outcome(out, err, showSettings)
}

func showSettings(s *registrar.Settings) client.Settings {
	return client.Settings{
		RefreshHint: client.Duration(s.RefreshHint), PublicationWindow: client.Duration(s.PublicationWindow),
		X509TTL: client.Duration(s.X509TTL), JWTTTL: client.Duration(s.JWTTTL),
		IntermediateTTL: client.Duration(s.IntermediateTTL), RootTTL: client.Duration(s.RootTTL),
	}
}
