package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

func (w *world) as(request string) broker.Act {
	act := w.act()
	act.RequestID = request
	return act
}

func TestARetryIsAppliedOnce(t *testing.T) {
	w := founded(t)
	first := w.applyAs(w.as("r1"), state.PutEntry{Entry: entry("a", "/a", "unix:uid:1")})
	w.do(state.DeleteEntry{ID: "a"})
	before, head := w.records(), w.machine.View().AuditHead()

	// The edge chose another ID for the entry: it is the same request still.
	again := w.later(time.Minute).applyAs(w.as("r1"), state.PutEntry{Entry: entry("b", "/a", "unix:uid:1")})
	if !again.Repeated || again.Refusal != nil || again.Index != first.Index || again.Subject != "entry/a" || !again.Change.Empty() {
		t.Errorf("the retry gave %+v", again)
	}
	if w.records() != before || w.machine.View().AuditHead() != head {
		t.Error("the retry changed something")
	}
	if w.machine.View().Index() != w.index {
		t.Errorf("the view is at %d, the log at %d", w.machine.View().Index(), w.index)
	}
}

func TestARefusalIsRepeatedAsItWas(t *testing.T) {
	w := founded(t)
	first := w.applyAs(w.as("r1"), state.DeleteEntry{ID: "a"})
	w.do(state.PutEntry{Entry: entry("a", "/a", "unix:uid:1")})
	again := w.applyAs(w.as("r1"), state.DeleteEntry{ID: "a"})
	if first.Refusal == nil || again.Refusal == nil || *first.Refusal != *again.Refusal || !again.Repeated {
		t.Errorf("%+v was repeated as %+v", first, again)
	}
}

func TestARequestIDIsForOneKindOfCommand(t *testing.T) {
	w := founded(t)
	w.applyAs(w.as("r1"), state.PutEntry{Entry: entry("a", "/a", "unix:uid:1")})
	other := w.applyAs(w.as("r1"), state.DeleteEntry{ID: "a"})
	if other.Refusal == nil || other.Refusal.Code != broker.InvalidArgument || other.Repeated || other.Record.Code != broker.InvalidArgument {
		t.Errorf("another command with the same request ID gave %+v", other)
	}
	if again := w.applyAs(w.as("r1"), state.PutEntry{Entry: entry("a", "/a", "unix:uid:1")}); !again.Repeated || again.Refusal != nil {
		t.Errorf("the first outcome is forgotten: %+v", again)
	}
}

func TestWithoutRequestIDNothingIsRemembered(t *testing.T) {
	w := founded(t)
	w.do(state.PutEntry{Entry: entry("a", "/a", "unix:uid:1")})
	w.refused(broker.AlreadyExists, state.PutEntry{Entry: entry("a", "/a", "unix:uid:1")})
	if n := w.machine.View().RequestCount(); n != 0 {
		t.Errorf("%d requests are remembered", n)
	}
}

func TestRequestsAreForgottenAfterAnHour(t *testing.T) {
	w := founded(t)
	for i := range 10 {
		w.applyAs(w.as(fmt.Sprint("r", i)), state.DeleteEntry{ID: "a"})
		w.later(time.Minute)
	}
	w.now = epoch.Add(time.Hour - 1)
	w.refused(broker.NotFound, state.DeleteEntry{ID: "a"})
	if n := w.machine.View().RequestCount(); n != 10 {
		t.Errorf("%d requests are remembered before the hour is over", n)
	}
	w.now = epoch.Add(time.Hour)
	w.refused(broker.NotFound, state.DeleteEntry{ID: "a"})
	if n := w.machine.View().RequestCount(); n != 9 {
		t.Errorf("%d requests are remembered when the first is an hour old", n)
	}
	if applied := w.applyAs(w.as("r0"), state.PutEntry{Entry: entry("a", "/a", "unix:uid:1")}); applied.Repeated || applied.Refusal != nil {
		t.Errorf("what was forgotten is repeated: %+v", applied)
	}
}

func TestOneWrongClockDoesNotWipeTheMemory(t *testing.T) {
	w := founded(t)
	for i := range 100 {
		w.applyAs(w.as(fmt.Sprint("r", i)), state.DeleteEntry{ID: "a"})
	}
	w.later(24 * time.Hour).apply(state.DeleteEntry{ID: "a"})
	if n := w.machine.View().RequestCount(); n < 98 {
		t.Errorf("%d of 100 requests are remembered", n)
	}
}

func TestTheMemoryOfRequestsIsBounded(t *testing.T) {
	const limit = 50
	w := newWorld(t)
	w.machine = state.NewForgetfulMachine(limit)
	for i := range limit + 20 {
		w.applyAs(w.as(fmt.Sprint("r", i)), state.DeleteEntry{ID: "a"})
	}
	if n := w.machine.View().RequestCount(); n != limit {
		t.Errorf("%d requests are remembered", n)
	}
	for request, remembered := range map[string]bool{"r69": true, "r20": true} {
		if applied := w.applyAs(w.as(request), state.DeleteEntry{ID: "a"}); applied.Repeated != remembered {
			t.Errorf("%s is remembered: %t", request, applied.Repeated)
		}
	}
	if applied := w.applyAs(w.as("r19"), state.DeleteEntry{ID: "a"}); applied.Repeated {
		t.Error("the oldest was not forgotten first")
	}
}
