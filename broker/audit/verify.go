package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/concord-id/concord/broker/state"
)

// Report is what walking a whole trail has found.
type Report struct {
	Records     int
	First, Last uint64 // log indexes of the oldest and the newest record; 0 if there is none
	Head        [32]byte
	// Restored is the log index of the backup with which the trail begins: what
	// was before is in the trails of the members that were. 0: it begins with the
	// domain.
	Restored uint64
	Gaps     []Gap
	// Break is the first place where the chain does not hold, with file and
	// line, and why; "" if it holds everywhere. Nothing behind it was looked at.
	Break string
}

// Gap is a stretch of the log whose records are not in the trail.
type Gap struct {
	After, Until uint64 // log indexes: those behind After, up to and with Until
	Reason       string
	// Given says that this node never had them: it was given the state by a
	// snapshot, as those are that join or were long away. Others have them.
	Given bool
}

// Whole reports whether every record since the first command is there and unchanged.
func (r Report) Whole() bool { return r.Break == "" && len(r.Gaps) == 0 }

// Sound reports whether every record that this node ever had is there and unchanged.
func (r Report) Sound() bool {
	return r.Break == "" && !slices.ContainsFunc(r.Gaps, func(g Gap) bool { return !g.Given })
}

// Verify walks the whole trail, and compares its end with what this process
// has in memory. An error means that it could not be read, not that it is
// damaged: that is in the report.
func (t *Trail) Verify(ctx context.Context) (Report, error) {
	segments, at, _, _ := t.shape()
	report, end, err := walk(ctx, segments)
	if err == nil && report.Break == "" && end != at {
		report.Break = fmt.Sprintf("the trail ends after log entry %d, but this node wrote it up to %d: its end was taken away or changed", end.index, at.index)
	}
	return report, err
}

// VerifyDir walks the trail in dir, which no node has open. That nothing is
// missing at its end, only the node itself can say.
func VerifyDir(ctx context.Context, dir string) (Report, error) {
	segments, err := listSegments(dir)
	if err != nil {
		return Report{}, err
	}
	report, _, err := walk(ctx, segments)
	return report, err
}

func walk(ctx context.Context, segments []segment) (report Report, at position, err error) {
	for i, s := range segments {
		err := s.lines(place{}, func(l line, behind place) error {
			next, err := at.follow(l, behind.line, i == 0)
			if err != nil {
				return err
			}
			report.note(l, at)
			at = next
			return ctx.Err()
		})
		switch {
		case errors.Is(err, ErrDamaged):
			report.Break = err.Error()
			return report, at, nil
		case err != nil:
			return report, at, err
		}
	}
	report.Head = at.head
	return report, at, nil
}

const takenAway = "the files before the oldest one were taken away"

// note counts a line that follows from what was before it.
func (r *Report) note(l line, before position) {
	switch {
	case l.Gap != nil:
		r.Gaps = append(r.Gaps, Gap{l.Gap.After, l.Gap.Until, "this node was given the state by a snapshot", true})
	case l.Segment != nil:
		if l.Segment.After > before.index {
			r.Gaps = append(r.Gaps, Gap{before.index, l.Segment.After, takenAway, false})
		}
	default:
		if r.Records == 0 && l.Kind == state.RecoverKind && len(r.Gaps) == 1 && r.Gaps[0] == (Gap{0, l.Index - 1, takenAway, false}) {
			r.Gaps, r.Restored = nil, l.Index-1
		}
		r.Records++
		r.Last = l.Index
		if r.First == 0 {
			r.First = l.Index
		}
	}
}

// String returns the report for a person.
func (r Report) String() string {
	text := fmt.Sprintf("%d records, log entries %d to %d", r.Records, r.First, r.Last)
	if r.Restored > 0 {
		text += fmt.Sprintf("\nbegins with the restore of a backup of log entry %d", r.Restored)
	}
	for _, g := range r.Gaps {
		text += fmt.Sprintf("\nmissing: log entries %d to %d: %s", g.After+1, g.Until, g.Reason)
	}
	if r.Break != "" {
		return text + "\nbroken: " + r.Break
	}
	return text + "\nthe chain holds"
}
