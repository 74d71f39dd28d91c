package spireapi

import (
	"context"
	"log/slog"

	loggerv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/logger/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
)

// loggers is spire.api.server.logger.v1.Logger.
type loggers struct {
	loggerv1.UnsafeLoggerServer
	desk
}

// slogLevels are SPIRE's log levels as slog has them, the most talkative first.
// slog names only four; the others lie between and beyond.
var slogLevels = []struct {
	spire types.LogLevel
	level slog.Level
}{
	{types.LogLevel_TRACE, slog.LevelDebug - 4},
	{types.LogLevel_DEBUG, slog.LevelDebug},
	{types.LogLevel_INFO, slog.LevelInfo},
	{types.LogLevel_WARN, slog.LevelWarn},
	{types.LogLevel_ERROR, slog.LevelError},
	{types.LogLevel_FATAL, slog.LevelError + 4},
	{types.LogLevel_PANIC, slog.LevelError + 8},
}

func readLevel(in types.LogLevel) (slog.Level, error) {
	for _, l := range slogLevels {
		if l.spire == in {
			return l.level, nil
		}
	}
	return 0, broker.Refuse(broker.InvalidArgument, "new_level %s is no log level: use TRACE, DEBUG, INFO, WARN, ERROR, FATAL or PANIC", in)
}

// writeLevel is the most talkative level that is not below l.
func writeLevel(l slog.Level) types.LogLevel {
	for _, known := range slogLevels {
		if l <= known.level {
			return known.spire
		}
	}
	return types.LogLevel_PANIC
}

func (s loggers) GetLogger(ctx context.Context, _ *loggerv1.GetLoggerRequest) (*types.Logger, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	return s.answer(ctx)(s.registrar.LogLevel(ctx, who))
}

func (s loggers) SetLogLevel(ctx context.Context, req *loggerv1.SetLogLevelRequest) (*types.Logger, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	level, err := readLevel(req.NewLevel)
	if err != nil {
		return nil, s.err(ctx, err)
	}
	return s.answer(ctx)(s.registrar.SetLogLevel(ctx, who, level))
}

func (s loggers) ResetLogLevel(ctx context.Context, _ *loggerv1.ResetLogLevelRequest) (*types.Logger, error) {
	who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	return s.answer(ctx)(s.registrar.ResetLogLevel(ctx, who))
}

func (s loggers) answer(ctx context.Context) func(registrar.LogLevels, error) (*types.Logger, error) {
	return func(levels registrar.LogLevels, err error) (*types.Logger, error) {
		if err != nil {
			return nil, s.err(ctx, err)
		}
		return &types.Logger{CurrentLevel: writeLevel(levels.Current), LaunchLevel: writeLevel(levels.Launch)}, nil
	}
}
