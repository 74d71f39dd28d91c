package admin

import (
	"context"
	"log/slog"
	"strings"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

func (s *server) getLogLevel(ctx context.Context, who broker.Caller, _ *request) (any, error) {
	levels, err := s.registrar.LogLevel(ctx, who)
	if err != nil {
		return nil, err
	}
	return showLogLevel(&levels), nil
}

func (s *server) setLogLevel(ctx context.Context, who broker.Caller, r *request) (any, error) {
	var body client.LogLevel
	if err := r.body(&body, "level"); err != nil {
		return nil, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(body.Level)); err != nil {
		return nil, broker.Refuse(broker.InvalidArgument, "level is %.40q: write debug, info, warn or error", body.Level)
	}
	return s.changeLogLevel(ctx, who, r, func(registrar.LogLevels) slog.Level { return level })
}

func (s *server) resetLogLevel(ctx context.Context, who broker.Caller, r *request) (any, error) {
	return s.changeLogLevel(ctx, who, r, func(now registrar.LogLevels) slog.Level { return now.Launch })
}

// changeLogLevel sets the level of this node. Its index is 0: it is not in the log.
func (s *server) changeLogLevel(ctx context.Context, who broker.Caller, r *request, to func(now registrar.LogLevels) slog.Level) (any, error) {
	dry, err := r.dryRun()
	if err != nil {
		return nil, err
	}
	if err := s.registrar.MaySetLogLevel(who); err != nil {
		return nil, err
	}
	before, err := s.registrar.LogLevel(ctx, who)
	if err != nil {
		return nil, err
	}
	after := registrar.LogLevels{Current: to(before), Launch: before.Launch}
	if !dry {
		after, err = s.registrar.SetLogLevel(ctx, who, after.Current)
	}
	return outcome(registrar.Outcome[registrar.LogLevels]{Before: &before, After: &after, DryRun: dry}, err, showLogLevel)
}

// showLogLevel writes levels as they are read: "info", "debug-4".
func showLogLevel(l *registrar.LogLevels) client.LogLevel {
	return client.LogLevel{Level: strings.ToLower(l.Current.String()), Launch: strings.ToLower(l.Launch.String())}
}
