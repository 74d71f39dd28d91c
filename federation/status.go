package federation

import "time"

// staleAfter is how many poll intervals a bundle may be unconfirmed before the
// relationship is failing.
const staleAfter = 3

// PollInterval is how long to wait between two polls of a peer whose bundle has
// this refresh hint: the hint, kept between MinPollInterval and MaxPollInterval; DefaultHint if
// there is none (Trust Domain and Bundle §4.1.2, §6.1).
func PollInterval(hint time.Duration, hinted bool) time.Duration {
	if !hinted {
		return DefaultHint
	}
	return max(MinPollInterval, min(hint, MaxPollInterval))
}

// PollInterval is how long to wait between two polls of the domain whose bundle
// is b. A nil b has no hint.
func (b *Bundle) PollInterval() time.Duration {
	if b == nil {
		return DefaultHint
	}
	return PollInterval(b.Hint, b.Hinted)
}

// Progress is what a poller has seen of its peer since its node follows it.
type Progress struct {
	Since       time.Time // when this node began to follow the peer
	LastSuccess time.Time // zero: never since then
	LastAttempt time.Time // zero: never since then
	LastError   string    // of the last attempt, in words; "" if it succeeded
	NextPoll    time.Time
	Polls       uint64
	Changes     uint64
	Bytes       int      // of the last document
	Alarms      []string // of the last attempt, see Verdict.Alarms
}

// Status is what is to be said of a relationship at now. held is the bundle in
// use, nil if there is none.
func (p Progress) Status(held *Bundle, now time.Time) Status {
	s := Status{
		State:       p.state(held, now),
		Hint:        held.PollInterval(),
		LastSuccess: p.LastSuccess,
		LastAttempt: p.LastAttempt,
		LastError:   p.LastError,
		NextPoll:    p.NextPoll,
		Polls:       p.Polls,
		Changes:     p.Changes,
		Bytes:       p.Bytes,
		Alarms:      p.Alarms,
	}
	if held != nil {
		s.Sequence = held.Sequence
	}
	if !p.LastSuccess.IsZero() {
		s.Age = max(0, now.Sub(p.LastSuccess))
	}
	return s
}

// state judges a poller that has never succeeded by the time since it began:
// how old the bundle was by then, it does not know.
func (p Progress) state(held *Bundle, now time.Time) State {
	switch {
	case held == nil:
		return StatePending
	case p.LastError == "":
		return StateActive
	}
	confirmed := p.Since
	if p.LastSuccess.After(confirmed) {
		confirmed = p.LastSuccess
	}
	if now.Sub(confirmed) > staleAfter*held.PollInterval() {
		return StateFailing
	}
	return StateDegraded
}
