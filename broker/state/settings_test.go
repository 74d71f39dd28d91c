package state_test

import (
	"testing"
	"time"

	"github.com/concord-id/concord/broker/state"
)

func TestAHintIsContentOfOurBundle(t *testing.T) {
	w := founded(t)
	before := w.machine.View().Own().Bundle.Sequence
	settings := state.DefaultSettings()
	settings.X509TTL = 2 * time.Hour
	applied := w.later(time.Second).do(state.PutSettings{Settings: settings})
	if !applied.Change.Settings || applied.Change.Own || w.machine.View().Own().Bundle.Sequence != before {
		t.Errorf("a lifetime is no content of our bundle: %+v", applied.Change)
	}
	settings.RefreshHint = 5 * time.Second
	applied = w.do(state.PutSettings{Settings: settings})
	own := w.machine.View().Own().Bundle
	if !applied.Change.Settings || !applied.Change.Own || own.Sequence <= before || own.Hint != 5*time.Second {
		t.Errorf("a hint is content of our bundle: %+v, %+v", applied.Change, own)
	}
	if applied = w.do(state.PutSettings{Settings: settings}); !applied.Change.Empty() {
		t.Errorf("the same settings are a change: %+v", applied.Change)
	}
}

func TestSettingsHaveBounds(t *testing.T) {
	for name, change := range map[string]func(*state.Settings){
		"no hint":                           func(s *state.Settings) { s.RefreshHint = 0 },
		"a hint of weeks":                   func(s *state.Settings) { s.RefreshHint = 60 * 24 * time.Hour },
		"a negative lifetime":               func(s *state.Settings) { s.JWTTTL = -time.Second },
		"a window of centuries":             func(s *state.Settings) { s.PublicationWindow = 1<<63 - 1 },
		"an intermediate longer than roots": func(s *state.Settings) { s.IntermediateTTL = s.RootTTL + 1 },
		"a token longer than its key":       func(s *state.Settings) { s.JWTTTL = s.RootTTL + 1 },
	} {
		s := state.DefaultSettings()
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		if change(&s); s.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
	}
}
