package federation_test

import (
	"testing"
	"time"

	"github.com/concord-id/concord/federation"
)

func TestStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	held := &federation.Bundle{TrustDomain: bank, Sequence: 7, Sequenced: true, Hint: time.Minute, Hinted: true}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, tc := range []struct {
		name  string
		held  *federation.Bundle
		p     federation.Progress
		state federation.State
		age   time.Duration
	}{
		{"nothing yet", nil, federation.Progress{Since: now}, federation.StatePending, 0},
		{"nothing but failures", nil, federation.Progress{Since: ago(time.Hour), LastAttempt: now, LastError: "no route"}, federation.StatePending, 0},
		{"a bundle by hand, not polled yet", held, federation.Progress{Since: now}, federation.StateActive, 0},
		{"polled", held, federation.Progress{Since: ago(time.Hour), LastSuccess: ago(time.Second)}, federation.StateActive, time.Second},
		{"one failure", held, federation.Progress{LastSuccess: ago(time.Minute), LastError: "x"}, federation.StateDegraded, time.Minute},
		{"three hints of failures", held, federation.Progress{LastSuccess: ago(3 * time.Minute), LastError: "x"}, federation.StateDegraded, 3 * time.Minute},
		{"more than three", held, federation.Progress{LastSuccess: ago(3*time.Minute + 1), LastError: "x"}, federation.StateFailing, 3*time.Minute + 1},
		{"a new follower fails", held, federation.Progress{Since: ago(time.Minute), LastError: "x"}, federation.StateDegraded, 0},
		{"a new follower keeps failing", held, federation.Progress{Since: ago(4 * time.Minute), LastError: "x"}, federation.StateFailing, 0},
		{"the clock went back", held, federation.Progress{LastSuccess: now.Add(time.Hour), LastError: "x"}, federation.StateDegraded, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := tc.p.Status(tc.held, now)
			if s.State != tc.state || s.Age != tc.age {
				t.Errorf("%s, age %v; want %s, %v", s.State, s.Age, tc.state, tc.age)
			}
			if s.Hint != tc.held.PollInterval() || s.LastError != tc.p.LastError || (tc.held != nil && s.Sequence != 7) {
				t.Errorf("%+v", s)
			}
		})
	}
}
