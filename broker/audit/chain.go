package audit

import (
	"fmt"

	"github.com/concord-id/concord/broker/state"
)

// position is where a chain has come to.
type position struct {
	index uint64 // log index of the last record or gap; 0 before the first
	head  head
}

// begin takes a segment's first line. Nothing may be between the segments.
func (p position) begin(b beginning, anew bool) (position, error) {
	if b.Format != format {
		return p, fmt.Errorf("its format is %.40q, this version of Concord reads %q", b.Format, format)
	}
	next := position{b.After, b.Head}
	if !anew && next != p {
		return p, fmt.Errorf("%w: the segment begins after log entry %d, the one before it ends with %d, and their chains do not meet: a file is missing or was changed",
			ErrDamaged, b.After, p.index)
	}
	return next, nil
}

// step takes a record.
func (p position) step(r record) (position, error) {
	if r.Index <= p.index {
		return p, fmt.Errorf("%w: the record of log entry %d comes after that of %d", ErrDamaged, r.Index, p.index)
	}
	if state.ChainHead(p.head, r.state().Statement()) != *r.Head {
		return p, fmt.Errorf("%w: the record of log entry %d does not follow from that of %d: one of them was changed, or some between are missing",
			ErrDamaged, r.Index, p.index)
	}
	return position{r.Index, *r.Head}, nil
}

// skip takes a gap.
func (p position) skip(g gapLine) (position, error) {
	if g.After != p.index || g.Until < g.After {
		return p, fmt.Errorf("%w: a gap from log entry %d to %d stands after that of %d", ErrDamaged, g.After, g.Until, p.index)
	}
	return position{g.Until, g.Head}, nil
}

// follow takes the line with a number in its file. anew says that the reading
// begins with this file: there is nothing that it could be compared with.
func (p position) follow(l line, number int, anew bool) (position, error) {
	switch {
	case (l.Segment != nil) != (number == 1):
		return p, fmt.Errorf("%w: the first line of a file, and no other, says what was before it", ErrDamaged)
	case l.Segment != nil:
		return p.begin(*l.Segment, anew)
	case l.Gap != nil:
		return p.skip(*l.Gap)
	default:
		return p.step(l.record)
	}
}
