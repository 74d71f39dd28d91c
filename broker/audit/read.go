package audit

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/concord-id/concord/broker/state"
)

// ErrClosed is what following a closed trail ends with.
var ErrClosed = errors.New("this node is stopping: the audit trail is closed")

// errEnough ends the reading of a file before its end.
var errEnough = errors.New("no more is wanted")

// since returns the segments that may have records after log index.
func since(segments []segment, index uint64) []segment {
	from := 0
	for i, s := range segments {
		if s.after <= index {
			from = i
		}
	}
	return segments[from:]
}

// records returns the records after log index that the trail has now, the
// oldest first.
func (t *Trail) records(index uint64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		segments, _, _, _ := t.shape()
		for _, s := range since(segments, index) {
			err := s.lines(place{}, func(l line, _ place) error {
				if l.Index > index && !yield(l.record, nil) {
					return errEnough
				}
				return nil
			})
			switch {
			case errors.Is(err, errEnough):
				return
			case err != nil:
				yield(record{}, err)
				return
			}
		}
	}
}

// Query returns the newest records that f wants, the oldest of them first. A
// trail that cannot be read is ErrDamaged; a filter that makes no sense is a
// refusal.
func (t *Trail) Query(ctx context.Context, f Filter) ([]state.AuditRecord, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	limit := f.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	segments, _, _, _ := t.shape()
	var newest []state.AuditRecord // the newest first
	for _, s := range slices.Backward(since(segments, f.After)) {
		if f.Before != 0 && s.after >= f.Before {
			continue
		}
		found, err := s.newest(ctx, f, limit-len(newest))
		if err != nil {
			return nil, err
		}
		slices.Reverse(found)
		if newest = append(newest, found...); len(newest) == limit {
			break
		}
	}
	slices.Reverse(newest)
	return newest, nil
}

// newest returns the newest records of s that f wants, at most limit, the
// oldest first.
func (s segment) newest(ctx context.Context, f Filter, limit int) ([]state.AuditRecord, error) {
	var found []state.AuditRecord
	err := s.lines(place{}, func(l line, _ place) error {
		if l.Index == 0 || !f.matches(&l.record) {
			return ctx.Err()
		}
		if len(found) == 2*limit {
			found = append(found[:0], found[limit:]...)
		}
		found = append(found, l.state())
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	return found[max(0, len(found)-limit):], nil
}

// Follow returns the records after f.After that f wants, the oldest first, and
// goes on with new ones as they come. f.Limit means nothing here. A reader that
// is slow reads from the files and holds nobody up. It ends when the loop
// does, after an error, with ctx's error, or with ErrClosed.
func (t *Trail) Follow(ctx context.Context, f Filter) iter.Seq2[state.AuditRecord, error] {
	return func(yield func(state.AuditRecord, error) bool) {
		reader := &follower{filter: f}
		for {
			segments, _, grown, closed := t.shape()
			err := reader.catchUp(ctx, segments, yield)
			switch {
			case errors.Is(err, errEnough):
				return
			case err == nil && closed:
				err = ErrClosed
			}
			if err == nil {
				select {
				case <-ctx.Done():
					err = ctx.Err()
				case <-grown:
					continue
				}
			}
			yield(state.AuditRecord{}, err)
			return
		}
	}
}

// follower is how far one reader has come.
type follower struct {
	filter  Filter
	started bool
	segment uint64 // the one it reads, by its name
	behind  place  // in that segment
}

func (r *follower) catchUp(ctx context.Context, segments []segment, yield func(state.AuditRecord, error) bool) error {
	from := r.segment
	if !r.started {
		from = r.filter.After
	}
	for _, s := range since(segments, from) {
		if !r.started || s.after != r.segment {
			r.started, r.segment, r.behind = true, s.after, place{}
		}
		err := s.lines(r.behind, func(l line, behind place) error {
			r.behind = behind
			if l.Index != 0 && r.filter.matches(&l.record) && !yield(l.state(), nil) {
				return errEnough
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	return nil
}
