package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
)

// printOutcome tells what a write did, or on a dry run would do: each field
// that differs, before and after.
func printOutcome[T any](w io.Writer, verb, subject string, o client.Outcome[T]) {
	if o.DryRun {
		fmt.Fprintf(w, "Dry run: would %s %s; nothing was changed.\n", verb, subject)
	} else {
		fmt.Fprintf(w, "Done: %s %s (index %d).\n", verb, subject, o.Index)
	}
	before, after := fields(o.Before), fields(o.After)
	names := slices.Sorted(maps.Keys(before))
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		switch b, a := before[name], after[name]; {
		case a == b:
		case b == "":
			fmt.Fprintf(w, "  + %s\t%s\n", name, a)
		case a == "":
			fmt.Fprintf(w, "  - %s\t%s\n", name, b)
		default:
			fmt.Fprintf(w, "  ~ %s\t%s → %s\n", name, b, a)
		}
	}
}

// fields returns a document's members as text; long ones are shortened.
func fields(document any) map[string]string {
	text, err := json.Marshal(document)
	if err != nil {
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return nil
	}
	out := map[string]string{}
	for name, value := range members {
		var s string
		if json.Unmarshal(value, &s) != nil {
			s = string(value)
		}
		if r := []rune(s); len(r) > 120 {
			s = string(r[:100]) + fmt.Sprintf("… (%d bytes)", len(s))
		}
		out[name] = s
	}
	return out
}

// when writes a moment as people read it, with how far it is from now.
func when(t time.Time) string {
	if t.IsZero() {
		return "never"
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
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", int(d.Hours())/24)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d >= time.Second:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
