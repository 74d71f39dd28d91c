// Package audit keeps who changed what, why and when, in files that a person
// can read: one JSON object a line, each chained to the one before by the head
// that the replicated state computes.
//
// It is told of each command in the order of the log, and again of the newest
// ones after a restart: those are compared, not written twice. What a crash cut
// off, or left with holes, is put aside and comes again. Anything else that is not as it
// was written is an error that names file and line. Records that this node
// never had, because it was given a snapshot, leave a line that says so, and
// Verify names them.
package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/concord-id/concord/broker/state"
)

// defaultSegmentBytes is when a new file is begun. The last file is read when
// the trail is opened, so its size is part of a cold start.
const defaultSegmentBytes = 8 << 20

// Options say where a trail lives.
type Options struct {
	Dir          string // made 0700 if it is not there
	Log          *slog.Logger
	SegmentBytes int64 // 0: 8 MiB
}

// Trail is an open audit trail. Append, Restored, Sync and Close belong to one
// goroutine, the one that applies the log; everything else may be called by all.
type Trail struct {
	dir          string
	log          *slog.Logger
	segmentBytes int64
	first        uint64 // log index after which the oldest file begins

	// owned by whoever appends
	file   *os.File
	replay *replay // nil unless the log is being applied again

	mu       sync.Mutex
	segments []segment // the oldest first; the last is being written
	at       position
	grown    chan struct{} // closed at the next record
	closed   bool
}

// Open opens the trail in opts.Dir, or begins it. It cuts off an end that was not
// on the disk when the node crashed, and fails with ErrDamaged if the newest file is not a chain;
// Verify looks at all of them.
func Open(opts Options) (*Trail, error) {
	t := &Trail{dir: opts.Dir, log: opts.Log, segmentBytes: opts.SegmentBytes, grown: make(chan struct{})}
	if t.log == nil {
		t.log = slog.Default()
	}
	if t.segmentBytes == 0 {
		t.segmentBytes = defaultSegmentBytes
	}
	if err := makePrivate(t.dir); err != nil {
		return nil, err
	}
	var err error
	if t.segments, err = listSegments(t.dir); err != nil {
		return nil, err
	}
	if err := t.recover(); err != nil {
		return nil, fmt.Errorf("%w; look at the file, or move %s away: the trail then begins anew, and says from where", err, t.dir)
	}
	return t, nil
}

// Position returns the log index of the newest record, and the chain's head after it.
func (t *Trail) Position() (index uint64, head [32]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at.index, t.at.head
}

// Append adds r to the trail. If the trail has it already, the two are
// compared; one that differs, or that does not follow from the newest record,
// is ErrDamaged, and nothing is written.
func (t *Trail) Append(r state.AuditRecord) error {
	if r.Index <= t.at.index {
		return t.repeated(r)
	}
	t.endReplay()
	w := written(r)
	next, err := t.at.step(w)
	if err != nil {
		return err
	}
	text, err := encodeRecord(w)
	if err != nil {
		return err
	}
	return t.write(text, next)
}

// Restored tells the trail that the state is now that after log index, with
// the chain's head given, and that records up to there come no more. What is
// missing is noted in the trail.
func (t *Trail) Restored(index uint64, h [32]byte) error {
	t.endReplay()
	if index < t.at.index || index == t.at.index && t.at.head != h {
		return t.compare(index, h)
	}
	if t.at.head == h {
		return nil
	}
	gap := gapLine{After: t.at.index, Until: index, Head: h}
	t.log.Warn("the audit trail of this node lacks records, which other members have: the state came by a snapshot", "after_index", gap.After, "until_index", gap.Until)
	text, err := encode(line{Gap: &gap})
	if err != nil {
		return err
	}
	next, err := t.at.skip(gap)
	if err != nil {
		return err
	}
	return t.write(text, next)
}

// Sync returns when every record so far is on disk.
func (t *Trail) Sync() error {
	if err := t.file.Sync(); err != nil {
		return fmt.Errorf("sync the audit trail: %w", err)
	}
	return nil
}

// Close syncs the trail and ends everything that follows it.
func (t *Trail) Close() error {
	t.endReplay()
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	close(t.grown)
	t.mu.Unlock()
	return errors.Join(t.Sync(), t.file.Close())
}

// write appends one line, which brings the chain to next. A record is written
// at once, and synced with the snapshot that makes the log forget it; until
// then a crash makes it come again.
func (t *Trail) write(text []byte, next position) error {
	if err := t.rotate(int64(len(text))); err != nil {
		return err
	}
	if _, err := t.file.Write(text); err != nil {
		return fmt.Errorf("write the audit trail: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.segments[len(t.segments)-1].size += int64(len(text))
	t.at = next
	if !t.closed {
		close(t.grown)
		t.grown = make(chan struct{})
	}
	return nil
}

// shape returns the files as they are now, where the chain has come to, and
// what is closed when that is no longer so.
func (t *Trail) shape() (segments []segment, at position, grown <-chan struct{}, closed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]segment(nil), t.segments...), t.at, t.grown, t.closed
}
