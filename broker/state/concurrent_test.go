package state_test

import (
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/concord-id/concord/broker/state"
)

// TestViewsAreReadWhileTheLogGoesOn is for the race detector.
func TestViewsAreReadWhileTheLogGoesOn(t *testing.T) {
	w := lived(t)
	for i := range 300 {
		w.do(state.PutEntry{Entry: entry(fmt.Sprint("first-", i), fmt.Sprint("/first/", i), "unix:uid:1", fmt.Sprint("unix:gid:", i))})
	}
	act, done := w.act(), make(chan struct{})
	node := state.Agent{ID: id("/spire/agent/concord/n1")}
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				v := w.machine.View()
				count := 0
				for range v.Entries() {
					count++
				}
				if count != v.EntryCount() || len(v.EntriesOf(node)) > count {
					t.Errorf("a view has %d entries and says %d", count, v.EntryCount())
				}
				if on := v.Duties(); v.MemberCount() < len(on.Live) {
					t.Errorf("%d members have duties %+v", v.MemberCount(), on)
				}
				v.EntriesFor(node, selectors("unix:uid:1", "unix:gid:7"))
				if _, _, err := v.Try(act, state.PutEntry{Entry: entry("trial", "/trial", "unix:uid:9")}); err != nil {
					t.Error(err)
				}
				if _, err := v.WriteTo(io.Discard); err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 300 {
		w.do(state.PutEntry{Entry: entry(fmt.Sprint(i), fmt.Sprint("/", i), "unix:uid:1")})
		w.do(state.DeleteEntry{ID: fmt.Sprint("first-", i)})
		w.do(started(1, uint64(i+2)))
		w.do(duties(w.machine.View().Duties().Epoch+1, 1))
	}
	close(done)
	readers.Wait()
	if _, ok := w.machine.View().Entry("trial"); ok {
		t.Error("a trial became true")
	}
}
