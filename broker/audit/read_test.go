package audit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/audit"
	"github.com/concord-id/concord/broker/state"
)

func indexes(records []state.AuditRecord) []uint64 {
	var all []uint64
	for _, r := range records {
		all = append(all, r.Index)
	}
	return all
}

func TestAFilterFindsWhatItSays(t *testing.T) {
	all := history(300)
	trail := openSized(t, kept(t, 4000, all...), 4000)
	for _, c := range []struct {
		name   string
		filter audit.Filter
		want   func(r state.AuditRecord) bool
	}{
		{"actor", audit.Filter{Actor: "unix:uid=1,pid=4"}, func(r state.AuditRecord) bool { return r.Actor == "unix:uid=1,pid=4" }},
		{"beginning of an actor", audit.Filter{Actor: "unix:uid=1,*", Limit: 1000}, func(r state.AuditRecord) bool { return r.Actor[:11] == "unix:uid=1," }},
		{"an actor is no beginning", audit.Filter{Actor: "unix:uid=1"}, func(state.AuditRecord) bool { return false }},
		{"subject", audit.Filter{Subject: "entry/2", Limit: 1000}, func(r state.AuditRecord) bool { return r.Subject == "entry/2" }},
		{"kind", audit.Filter{Kind: "put_bundle", Limit: 1000}, func(r state.AuditRecord) bool { return r.Kind == "put_bundle" }},
		{"request ID", audit.Filter{RequestID: "request-77"}, func(r state.AuditRecord) bool { return r.RequestID == "request-77" }},
		{"refused", audit.Filter{Refused: true, Limit: 1000}, func(r state.AuditRecord) bool { return r.Code != "" }},
		{"since and until", audit.Filter{Since: began.Add(time.Hour), Until: began.Add(2 * time.Hour)}, func(r state.AuditRecord) bool {
			return !r.At.Before(began.Add(time.Hour)) && r.At.Before(began.Add(2*time.Hour))
		}},
		{"the newest, if nothing is said", audit.Filter{}, func(r state.AuditRecord) bool { return r.Index >= all[200].Index }},
		{"the newest so many", audit.Filter{Limit: 7}, func(r state.AuditRecord) bool { return r.Index >= all[293].Index }},
		{"the page before", audit.Filter{Limit: 7, Before: all[293].Index}, func(r state.AuditRecord) bool {
			return r.Index >= all[286].Index && r.Index < all[293].Index
		}},
		{"later ones", audit.Filter{After: all[280].Index}, func(r state.AuditRecord) bool { return r.Index > all[280].Index }},
		{"two at once", audit.Filter{Kind: "put_entry", Subject: "entry/0", Limit: 1000}, func(r state.AuditRecord) bool {
			return r.Kind == "put_entry" && r.Subject == "entry/0"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []uint64
			for _, r := range all {
				if c.want(r) {
					want = append(want, r.Index)
				}
			}
			got, err := trail.Query(t.Context(), c.filter)
			if err != nil || !slices.Equal(indexes(got), want) {
				t.Errorf("%d, %v; want %d", indexes(got), err, want)
			}
		})
	}
}

func TestAFilterThatMakesNoSenseIsRefused(t *testing.T) {
	trail := open(t, t.TempDir())
	for _, f := range []audit.Filter{{Limit: -1}, {Limit: 10_001}, {Since: began, Until: began}} {
		if _, err := trail.Query(t.Context(), f); broker.CodeOf(err) != broker.InvalidArgument {
			t.Errorf("%+v: %v", f, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	add(t, trail, history(1)...)
	if _, err := trail.Query(ended, audit.Filter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a query that nobody waits for: %v", err)
	}
}

func TestAFollowerIsGivenOldAndNewRecordsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := history(60)
		trail := openSized(t, t.TempDir(), 3000)
		add(t, trail, all[:20]...)
		got := make(chan state.AuditRecord)
		ended := make(chan error, 1)
		go func() {
			defer close(got)
			for r, err := range trail.Follow(t.Context(), audit.Filter{After: all[9].Index, Kind: "put_entry"}) {
				if err != nil {
					ended <- err
					return
				}
				got <- r
			}
		}()
		want := func(records []state.AuditRecord) {
			t.Helper()
			for _, r := range records {
				if r.Kind != "put_entry" {
					continue
				}
				if g := <-got; g.Index != r.Index {
					t.Fatalf("got %d, want %d", g.Index, r.Index)
				}
			}
			synctest.Wait()
			select {
			case r, more := <-got:
				t.Fatalf("there is %d too, %v", r.Index, more)
			default:
			}
		}
		want(all[10:20])
		for n := 20; n < 60; n += 10 { // over several files
			add(t, trail, all[n:n+10]...)
			want(all[n : n+10])
		}
		shut(t, trail)
		if err := <-ended; !errors.Is(err, audit.ErrClosed) {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestAFollowerEndsWithItsContextOrItsLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trail := open(t, t.TempDir())
		add(t, trail, history(3)...)
		seen := 0
		for _, err := range trail.Follow(t.Context(), audit.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == 2 {
				break
			}
		}
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var last error
		for _, err := range trail.Follow(short, audit.Filter{}) {
			last = err
		}
		if !errors.Is(last, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", last)
		}
	})
}
