package registrar

import (
	"context"
	"log/slog"

	"github.com/concord-id/concord/broker"
)

// LogLevels are how much this process logs, now and when it was started.
type LogLevels struct {
	Current, Launch slog.Level
}

// LogLevel returns the levels of this process.
func (r *Registrar) LogLevel(ctx context.Context, who broker.Caller) (LogLevels, error) {
	if err := may(who, "read the log level", broker.RoleReader, broker.RoleAdmin, broker.RoleNode); err != nil {
		return LogLevels{}, err
	}
	return LogLevels{Current: r.parts.Level.Level(), Launch: r.launch}, nil
}

// MaySetLogLevel refuses a caller whom SetLogLevel refuses: it is what a dry
// run of it needs.
func (r *Registrar) MaySetLogLevel(who broker.Caller) error {
	return may(who, "set the log level", broker.RoleAdmin)
}

// SetLogLevel makes this process log what is at level or above, until it is
// set again or the process ends. Other nodes are not touched.
func (r *Registrar) SetLogLevel(ctx context.Context, who broker.Caller, level slog.Level) (LogLevels, error) {
	if err := r.MaySetLogLevel(who); err != nil {
		return LogLevels{}, err
	}
	before := r.parts.Level.Level()
	r.parts.Level.Set(level)
	r.parts.Log.WarnContext(ctx, "log level changed", "actor", who.Name, "cause", who.Cause, "before", before, "after", level)
	return LogLevels{Current: level, Launch: r.launch}, nil
}

// ResetLogLevel goes back to the level of the start.
func (r *Registrar) ResetLogLevel(ctx context.Context, who broker.Caller) (LogLevels, error) {
	return r.SetLogLevel(ctx, who, r.launch)
}
