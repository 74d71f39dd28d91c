package audit

import (
	"errors"
	"log/slog"

	"github.com/concord-id/concord/broker/state"
)

// Begin begins a trail in dir, which has none, for a node whose state was
// restored: with the record of that, which follows from the chain's head
// before it. The records before are in the trails of the members that were.
func Begin(dir string, before [32]byte, r state.AuditRecord) error {
	if err := makePrivate(dir); err != nil {
		return err
	}
	t := &Trail{dir: dir, log: slog.New(slog.DiscardHandler), segmentBytes: defaultSegmentBytes, grown: make(chan struct{})}
	at := position{index: r.Index - 1, head: before}
	if err := t.begin(at); err != nil {
		return err
	}
	t.at = at
	return errors.Join(t.Append(r), t.Close())
}
