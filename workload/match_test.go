package workload_test

import (
	"slices"
	"testing"
	"time"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/workload"
)

func selectors(values ...string) []attest.Selector {
	var out []attest.Selector
	for _, v := range values {
		out = append(out, attest.Selector{Type: "unix", Value: v})
	}
	return attest.Sort(out)
}

func TestMatchWantsEverySelector(t *testing.T) {
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	at := func(n int, id string, change func(*workload.Entry), values ...string) *workload.Entry {
		e := &workload.Entry{ID: id, Selectors: selectors(values...), CreatedAt: now.Add(time.Duration(n) * time.Minute)}
		if change != nil {
			change(e)
		}
		return e
	}
	entries := []*workload.Entry{
		at(-1, "newest", nil, "uid:1"),
		at(-9, "both", nil, "uid:1", "gid:2"),
		at(-9, "also", nil, "gid:2"),
		at(-9, "other", nil, "uid:7"),
		at(-9, "more", nil, "uid:1", "gid:2", "path:/x"),
		at(-9, "nobody", nil),
		at(-9, "ended", func(e *workload.Entry) { e.ExpiresAt = now }, "uid:1"),
		at(-9, "ends", func(e *workload.Entry) { e.ExpiresAt = now.Add(1) }, "uid:1"),
		at(-9, "stored", func(e *workload.Entry) { e.StoreSVID = true }, "uid:1"),
	}
	want := []string{"also", "both", "ends", "newest"}
	for _, given := range [][]*workload.Entry{entries, reversed(entries)} {
		t.Run("WA_31_order", func(t *testing.T) {
			var got []string
			for _, e := range workload.Match(given, selectors("uid:1", "gid:2", "gid:3"), now) {
				got = append(got, e.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	if got := workload.Match(entries, nil, now); len(got) != 0 {
		t.Errorf("nothing was observed, and %d entries match", len(got))
	}
}

func reversed(entries []*workload.Entry) []*workload.Entry {
	out := slices.Clone(entries)
	slices.Reverse(out)
	return out
}
