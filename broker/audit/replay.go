package audit

import (
	"errors"
	"fmt"
	"iter"

	"github.com/concord-id/concord/broker/state"
)

// replay reads the trail in step with a log that is applied again.
type replay struct {
	next func() (record, error, bool)
	stop func()
}

// repeated compares a record that came before with the one that is kept.
func (t *Trail) repeated(r state.AuditRecord) error {
	if r.Index <= t.first {
		return nil // its file was taken away
	}
	if t.replay == nil {
		next, stop := iter.Pull2(t.records(r.Index - 1))
		t.replay = &replay{next, stop}
	}
	kept, err, ok := t.replay.next()
	switch {
	case err != nil:
		return err
	case !ok || kept.Index != r.Index || *kept.Head != head(r.Head):
		return t.diverged(r.Index)
	}
	return nil
}

func (t *Trail) endReplay() {
	if t.replay != nil {
		t.replay.stop()
		t.replay = nil
	}
}

// compare checks that the trail's chain had head h after log index.
func (t *Trail) compare(index uint64, h head) error {
	if index < t.first {
		return nil // its file was taken away
	}
	var at position
	segments, _, _, _ := t.shape()
	err := since(segments, index)[0].lines(place{}, func(l line, behind place) error {
		next, err := at.follow(l, behind.line, true)
		if err == nil && next.index > index {
			return errEnough
		}
		at = next
		return err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if at.head != h {
		return t.diverged(index)
	}
	return nil
}

func (t *Trail) diverged(index uint64) error {
	return fmt.Errorf("%w: at log entry %d it tells another story than the log; one of the two was changed, or put back from an older copy: move %s away to begin a new trail",
		ErrDamaged, index, t.dir)
}
