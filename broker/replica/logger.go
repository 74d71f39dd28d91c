package replica

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// slogSink gives raft's log lines to log, one level lower than raft gives
// them: an election is no warning to whoever runs a node, and what must end
// the process is reported by Failed and not by a line.
type slogSink struct{ log *slog.Logger }

// raftLogger returns what raft writes its lines to.
func raftLogger(log *slog.Logger) hclog.Logger {
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off})
	logger.RegisterSink(slogSink{log.With("part", "raft")})
	return logger
}

// Accept implements hclog.SinkAdapter.
func (s slogSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Warn:
		to = slog.LevelInfo
	case hclog.Error:
		to = slog.LevelWarn
	}
	if !s.log.Enabled(context.Background(), to) {
		return
	}
	for i, arg := range args {
		switch v := arg.(type) {
		case hclog.Format:
			if format, ok := v[0].(string); ok {
				args[i] = fmt.Sprintf(format, v[1:]...)
			}
		case fmt.Stringer:
			args[i] = v.String()
		}
	}
	s.log.Log(context.Background(), to, msg, args...)
}
