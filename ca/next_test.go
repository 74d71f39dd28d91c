package ca_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/concord-id/concord/ca"
)

var yearly = ca.Terms{Window: -1, AuthorityTTL: 90 * day, IntermediateTTL: day, JWTTTL: 5 * time.Minute, Staleness: 10 * time.Minute}

func TestNext(t *testing.T) {
	// Since began: an active one halfway through at 45 days, and its successor.
	active := ca.Authority{ID: "active", Use: ca.X509, Status: ca.Active, NotAfter: began.Add(90 * day), ActivatedAt: began}
	next := ca.Authority{ID: "next", Use: ca.X509, Status: ca.Prepared, NotAfter: began.Add(90 * day), PreparedAt: began, LargestHint: time.Hour}
	late := next
	late.PreparedAt = began.Add(44*day + 23*time.Hour)
	old := ca.Authority{ID: "old", Use: ca.X509, Status: ca.Old, NotAfter: began.Add(60 * day), VouchesUntil: began.Add(day)}
	with := func(a ca.Authority, change func(*ca.Authority)) ca.Authority { change(&a); return a }
	jwt := with(active, func(a *ca.Authority) { a.Use = ca.JWT })

	for name, test := range map[string]struct {
		have []ca.Authority
		at   time.Duration
		want []string
		wake time.Duration // 0: none
	}{
		"a domain that is not founded":          {nil, 0, nil, 0},
		"no active one yet":                     {[]ca.Authority{next}, 0, nil, 0},
		"another use's are no matter":           {[]ca.Authority{jwt}, 0, nil, 0},
		"nothing prepared":                      {[]ca.Authority{active}, 0, []string{"prepare"}, 0},
		"young":                                 {[]ca.Authority{active, next}, day, nil, 45 * day},
		"a moment before half of its life":      {[]ca.Authority{active, next}, 45*day - time.Nanosecond, nil, 45 * day},
		"half of its life":                      {[]ca.Authority{active, next}, 45 * day, []string{"activate next"}, 0},
		"half of its life, inside the window":   {[]ca.Authority{active, late}, 45 * day, nil, 45*day + 2*time.Hour},
		"half of its life, the window is over":  {[]ca.Authority{active, late}, 45*day + 2*time.Hour, []string{"activate next"}, 0},
		"the active one ended":                  {[]ca.Authority{active, next}, 89 * day, []string{"activate next"}, 0},
		"the next one ended unused":             {[]ca.Authority{active, next}, 90 * day, []string{"revoke next"}, 0},
		"the next one is tainted":               {[]ca.Authority{active, with(next, func(a *ca.Authority) { a.Tainted = true })}, day, []string{"revoke next"}, 0},
		"the active one is tainted":             {[]ca.Authority{with(active, func(a *ca.Authority) { a.Tainted = true }), next}, day, []string{"activate next"}, 0},
		"tainted, the next inside the window":   {[]ca.Authority{with(active, func(a *ca.Authority) { a.Tainted = true }), next}, time.Hour, nil, 3 * time.Hour},
		"an old one still vouches":              {[]ca.Authority{old, active, next}, time.Hour, nil, day},
		"an old one vouches no more":            {[]ca.Authority{old, active, next}, day, []string{"remove old"}, 45 * day},
		"an old one does not say until when":    {[]ca.Authority{with(old, func(a *ca.Authority) { a.VouchesUntil = time.Time{} }), active, next}, 46 * day, []string{"activate next"}, 60 * day},
		"an old one, and nothing prepared":      {[]ca.Authority{old, active}, 2 * day, []string{"remove old", "prepare"}, 0},
		"an old one, and the active one is due": {[]ca.Authority{old, active, next}, 45 * day, []string{"remove old", "activate next"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			steps, wake := ca.Next(ca.X509, test.have, yearly, began.Add(test.at))
			var got []string
			for _, s := range steps {
				got = append(got, says(s))
				if s.Why == "" || s.Use != ca.X509 {
					t.Errorf("step %+v does not say why, or for what", s)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("steps %q, want %q", got, test.want)
			}
			if wake.IsZero() != (test.wake == 0) || test.wake != 0 && !wake.Equal(began.Add(test.wake)) {
				t.Errorf("wakes at %v, want %s after the beginning", wake, test.wake)
			}
		})
	}
}

func says(s ca.Step) string {
	switch {
	case s.Revoke:
		return "revoke " + s.ID
	case s.ID == "":
		return s.Action.String()
	}
	return s.Action.String() + " " + s.ID
}

// TestFD_3_TwentyYears lives a domain by Next alone, with visits at odd times,
// and holds the invariants at each.
func TestFD_3_TwentyYears(t *testing.T) {
	for _, late := range []time.Duration{0, 7 * time.Hour, 40 * day} {
		t.Run("visited "+late.String()+" late", func(t *testing.T) { liveFor(t, 20*365*day, late) })
	}
}

func liveFor(t *testing.T, span, late time.Duration) {
	made := 0
	fresh := func(status ca.Status, now time.Time) ca.Authority {
		made++
		a := ca.Authority{ID: fmt.Sprint(made), Use: ca.X509, Status: status, NotBefore: now, NotAfter: now.Add(yearly.AuthorityTTL), PreparedAt: now, LargestHint: time.Minute}
		if status == ca.Active {
			a.ActivatedAt = now
		}
		return a
	}
	life := []ca.Authority{fresh(ca.Active, began), fresh(ca.Prepared, began)}
	now := began
	turns := 0
	for now.Before(began.Add(span)) {
		steps, wake := ca.Next(ca.X509, life, yearly, now)
		for _, s := range steps {
			life = carryOut(t, life, s, now, fresh)
			turns++
		}
		checkLife(t, life, now, late)
		switch {
		case len(steps) > 0:
		case wake.IsZero() || !wake.After(now):
			t.Fatalf("at %s nothing is due and nothing is waited for: %+v", now, life)
		default:
			now = wake.Add(late)
		}
	}
	if most := int(span/(20*day)) * 3; turns > most {
		t.Errorf("%d steps in %s, want at most %d", turns, span, most)
	}
}

func carryOut(t *testing.T, life []ca.Authority, s ca.Step, now time.Time, fresh func(ca.Status, time.Time) ca.Authority) []ca.Authority {
	switch s.Action {
	case ca.Prepare:
		return append(life, fresh(ca.Prepared, now))
	case ca.Remove:
		return slices.DeleteFunc(life, func(a ca.Authority) bool { return a.ID == s.ID })
	}
	for i := range life {
		switch a := &life[i]; {
		case a.Status == ca.Active:
			a.Status, a.VouchesUntil = ca.Old, now.Add(yearly.VouchFor(ca.X509))
		case a.ID == s.ID:
			if now.Before(ca.Earliest(*a, yearly.Window)) {
				t.Errorf("authority %s is active at %s, inside its window", a.ID, now)
			}
			a.Status, a.ActivatedAt = ca.Active, now
		}
	}
	return life
}

func checkLife(t *testing.T, life []ca.Authority, now time.Time, late time.Duration) {
	t.Helper()
	count := map[ca.Status]int{}
	for _, a := range life {
		count[a.Status]++
		// Visited in time, what an authority signs never outlives it.
		if late < day && a.Status == ca.Active && now.Add(yearly.IntermediateTTL).After(a.NotAfter) {
			t.Errorf("at %s the active authority ends in %s, before an intermediate would", now, a.NotAfter.Sub(now))
		}
		if late < day && a.Status == ca.Old && a.VouchesUntil.After(a.NotAfter) {
			t.Errorf("authority %s vouches past its own end", a.ID)
		}
	}
	if count[ca.Active] != 1 || count[ca.Prepared] > 1 || count[ca.Old] > 1 {
		t.Fatalf("at %s there are %v", now, count)
	}
}
