package main

import (
	"fmt"
	"time"
)

// when writes a moment as people read it, with how far it is from now; "" for
// one that never comes.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z") + " (" + distance(time.Until(t)) + ")"
}

func distance(d time.Duration) string {
	if d < 0 {
		return span(-d) + " ago"
	}
	return "in " + span(d)
}

// span writes a duration in its one or two largest units.
func span(d time.Duration) string {
	days, hours, minutes, seconds := int(d.Hours())/24, int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", days)
	case d >= time.Hour && minutes == 0:
		return fmt.Sprintf("%d h", hours)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case d >= time.Minute && seconds == 0:
		return fmt.Sprintf("%d min", minutes)
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d s", minutes, seconds)
	case d >= time.Second:
		return fmt.Sprintf("%d s", seconds)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// moment reads a point in time from the command line: RFC 3339, or a duration
// before or after now.
func moment(flag, text string, sign time.Duration) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(sign * d).UTC().Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, misused("--%s %q: write a duration such as 24h, or a time such as 2027-01-31T00:00:00Z", flag, text)
	}
	return t, nil
}
