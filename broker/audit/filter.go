package audit

import (
	"strings"
	"time"

	"github.com/concord-id/concord/broker"
)

// Limits of one query.
const (
	DefaultLimit = 100
	MaxLimit     = 10_000
)

// Filter says which records are wanted. The zero value wants all. Actor,
// Subject and Kind are compared whole, or by their beginning if they end in
// "*": an actor's name has a process ID at its end.
type Filter struct {
	Actor, Subject, Kind string
	RequestID            string
	Refused              bool      // only what was refused
	Since                time.Time // this moment and later, by the proposers' clocks; zero: from the beginning
	Until                time.Time // earlier than this; zero: to the end

	After  uint64 // log index: only later records; 0: all
	Before uint64 // log index: only earlier records; 0: all
	Limit  int    // the newest so many; 0: 100
}

// Validate says what is wrong with f.
func (f Filter) Validate() error {
	switch {
	case f.Limit < 0 || f.Limit > MaxLimit:
		return broker.Refuse(broker.InvalidArgument, "an audit query returns 1 to %d records, not %d: page through the trail by index", MaxLimit, f.Limit)
	case !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until):
		return broker.Refuse(broker.InvalidArgument, "the audit query's end %s is not after its beginning %s", f.Until.Format(time.RFC3339), f.Since.Format(time.RFC3339))
	}
	return nil
}

func (f Filter) matches(r *record) bool {
	return r.Index > f.After &&
		(f.Before == 0 || r.Index < f.Before) &&
		like(f.Actor, r.Actor) && like(f.Subject, r.Subject) && like(f.Kind, r.Kind) &&
		(f.RequestID == "" || f.RequestID == r.RequestID) &&
		(!f.Refused || r.Code != "") &&
		(f.Since.IsZero() || !r.At.Before(f.Since)) &&
		(f.Until.IsZero() || r.At.Before(f.Until))
}

func like(want, have string) bool {
	if beginning, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(have, beginning)
	}
	return want == "" || want == have
}
