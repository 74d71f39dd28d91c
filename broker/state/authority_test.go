package state_test

import (
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// authority returns the X.509 authority with key n.
func (w *world) authority(n int) ca.Authority {
	a, ok := w.machine.View().Authority(ca.X509, rootID(n))
	if !ok {
		w.t.Fatalf("there is no authority with key %d", n)
	}
	return a
}

func rootID(n int) string { return root(acme, n, ca.Prepared).ID }

func activate(n int) state.ActivateAuthority {
	return state.ActivateAuthority{Use: ca.X509, ID: rootID(n), VouchFor: time.Hour}
}

func TestAKeyTurns(t *testing.T) {
	w := founded(t)
	before := w.machine.View().Own()

	w.later(3 * time.Minute)
	applied := w.do(activate(3))
	if !applied.Change.Authorities || applied.Change.Own {
		t.Errorf("an activation is a change of signers, not of our bundle: %+v", applied.Change)
	}
	if w.machine.View().Own().ETag != before.ETag {
		t.Error("the bundle changed although its content did not")
	}
	next, old := w.authority(3), w.authority(1)
	if next.Status != ca.Active || next.ActivatedAt != w.now {
		t.Errorf("the next one is %+v", next)
	}
	if old.Status != ca.Old || old.OldAt != w.now || old.VouchesUntil != w.now.Add(time.Hour) {
		t.Errorf("the old one is %+v", old)
	}

	applied = w.do(state.PrepareAuthority{Authority: root(acme, 5, 0)})
	if own := w.machine.View().Own(); !applied.Change.Own || own.Bundle.Sequence <= before.Bundle.Sequence || len(own.Bundle.X509) != 3 {
		t.Errorf("after the next was prepared our bundle is %s", own.Document)
	}

	w.refused(broker.FailedPrecondition, state.RemoveAuthority{Use: ca.X509, ID: rootID(1)})
	w.later(time.Hour).do(state.RemoveAuthority{Use: ca.X509, ID: rootID(1)})
	if own := w.machine.View().Own(); len(own.Bundle.X509) != 2 {
		t.Errorf("after the old one was removed our bundle is %s", own.Document)
	}
}

func TestFD_2_NothingIsActivatedInsideThePublicationWindow(t *testing.T) {
	hints := func(hint, window time.Duration) func(*state.Bootstrap) {
		return func(b *state.Bootstrap) { b.Settings.RefreshHint, b.Settings.PublicationWindow = hint, window }
	}
	for name, test := range map[string]struct {
		settings func(*state.Bootstrap)
		window   time.Duration
	}{
		"three hints of a minute":   {hints(time.Minute, -1), 3 * time.Minute},
		"three hints of an hour":    {hints(time.Hour, -1), 3 * time.Hour},
		"a window that is set":      {hints(time.Hour, time.Minute), time.Minute},
		"no window, for laborators": {hints(time.Hour, 0), 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := founded(t, test.settings)
			if test.window > 0 {
				w.later(test.window - time.Nanosecond)
				refusal := w.refused(broker.FailedPrecondition, activate(3))
				if until := epoch.Add(test.window).Format(time.RFC3339); !strings.Contains(refusal.Detail, until) {
					t.Errorf("the refusal does not name %s: %s", until, refusal.Detail)
				}
				w.later(time.Nanosecond)
			}
			w.do(activate(3))
		})
	}
}

func TestForceDoesNotWait(t *testing.T) {
	w := founded(t)
	c := activate(3)
	c.Force = true
	w.do(c)
}

func TestFD_2_TheWindowIsOfTheLargestHintServed(t *testing.T) {
	set := func(w *world, hint time.Duration) {
		s := state.DefaultSettings()
		s.RefreshHint = hint
		w.do(state.PutSettings{Settings: s})
	}
	t.Run("raised for a while", func(t *testing.T) {
		w := founded(t)
		set(w, time.Hour)
		set(w, time.Second)
		w.later(3*time.Hour - time.Second)
		w.refused(broker.FailedPrecondition, activate(3))
		w.later(time.Second).do(activate(3))
	})
	t.Run("lowered before it was prepared", func(t *testing.T) {
		w := founded(t, func(b *state.Bootstrap) {
			b.Settings.RefreshHint = time.Hour
			b.Authorities = b.Authorities[:2]
		})
		set(w, time.Second) // whoever has fetched just now comes back in an hour
		w.later(30 * time.Minute).do(state.PrepareAuthority{Authority: root(acme, 3, 0)})
		w.later(time.Hour)
		w.refused(broker.FailedPrecondition, activate(3))
		w.later(2 * time.Hour).do(activate(3))
	})
	t.Run("lowered long before it was prepared", func(t *testing.T) {
		w := founded(t, func(b *state.Bootstrap) {
			b.Settings.RefreshHint = time.Hour
			b.Authorities = b.Authorities[:2]
		})
		set(w, time.Second)
		w.later(time.Hour).do(state.PrepareAuthority{Authority: root(acme, 3, 0)})
		w.later(3 * time.Second).do(activate(3))
	})
	t.Run("lowered step by step", func(t *testing.T) {
		w := founded(t, func(b *state.Bootstrap) {
			b.Settings.RefreshHint = time.Hour
			b.Authorities = b.Authorities[:2]
		})
		set(w, time.Minute)
		set(w, time.Second)
		w.do(state.PrepareAuthority{Authority: root(acme, 3, 0)})
		if hint := w.authority(3).LargestHint; hint != time.Hour {
			t.Errorf("the largest hint is %s", hint)
		}
	})
}

func TestOnlyAPreparedAuthorityIsActivated(t *testing.T) {
	w := founded(t).later(time.Hour)
	w.refused(broker.FailedPrecondition, activate(1))
	w.refused(broker.NotFound, activate(9))
	w.do(activate(3))
	w.refused(broker.FailedPrecondition, activate(1))

	w.do(state.PrepareAuthority{Authority: root(acme, 5, 0)})
	w.do(state.TaintAuthority{Use: ca.X509, ID: rootID(5)})
	force := activate(5)
	force.Force = true
	w.refused(broker.FailedPrecondition, force)
}

func TestAnAuthorityThatHasEndedNeverSigns(t *testing.T) {
	w := founded(t).later(lifetime)
	force := activate(3)
	force.Force = true
	w.refused(broker.FailedPrecondition, force)
	w.now = epoch.Add(-2 * time.Hour)
	w.refused(broker.FailedPrecondition, force) // it has not begun either
	w.now = epoch.Add(lifetime)
	w.refused(broker.InvalidArgument, state.PrepareAuthority{Authority: root(acme, 5, 0)})
	w.do(state.RemoveAuthority{Use: ca.X509, ID: rootID(3)}) // it ended unused
	w.do(state.PrepareAuthority{Authority: rootUntil(acme, 5, 0, w.now.Add(lifetime))})
	force.ID = rootID(5)
	w.do(force)
	if old := w.authority(1); old.VouchesUntil != old.NotAfter {
		t.Errorf("the old one ended at %s and vouches until %s", old.NotAfter, old.VouchesUntil)
	}
}

func TestThereIsOneNextAuthority(t *testing.T) {
	w := founded(t)
	w.refused(broker.FailedPrecondition, state.PrepareAuthority{Authority: root(acme, 5, 0)})
	w.refused(broker.AlreadyExists, state.PrepareAuthority{Authority: root(acme, 1, 0)})
	w.later(time.Hour).do(activate(3))
	same := jwtKey(3, 0) // the key of an X.509 authority
	w.do(state.TaintAuthority{Use: ca.JWT, ID: jwtKey(4, 0).ID})
	w.do(state.RemoveAuthority{Use: ca.JWT, ID: jwtKey(4, 0).ID, Revoke: true})
	w.refused(broker.AlreadyExists, state.PrepareAuthority{Authority: same})
}

func TestOldAuthoritiesDoNotPileUp(t *testing.T) {
	w := founded(t)
	for n := 3; ; n += 2 {
		c := activate(n)
		c.Force, c.VouchFor = true, lifetime
		w.do(c)
		if applied := w.apply(state.PrepareAuthority{Authority: root(acme, n+2, 0)}); applied.Refusal != nil {
			if applied.Refusal.Code != broker.ResourceExhausted {
				t.Fatal(applied.Refusal)
			}
			break
		}
	}
	if n := len(w.machine.View().Authorities(ca.X509)); n != state.MaxAuthoritiesPerUse {
		t.Errorf("there are %d authorities", n)
	}
}

func TestATaintedKeyIsRevoked(t *testing.T) {
	w := founded(t).later(time.Hour)
	w.refused(broker.InvalidArgument, state.TaintAuthority{Use: ca.X509, ID: rootID(1)}) // it is active
	w.refused(broker.InvalidArgument, state.RemoveAuthority{Use: ca.X509, ID: rootID(1), Revoke: true})
	w.refused(broker.FailedPrecondition, state.RemoveAuthority{Use: ca.X509, ID: rootID(3), Revoke: true}) // it is next
	w.do(activate(3))
	applied := w.do(state.TaintAuthority{Use: ca.X509, ID: rootID(1)})
	if !applied.Change.Authorities || applied.Change.Own || !w.authority(1).Tainted {
		t.Errorf("the taint changed %+v", applied.Change)
	}
	w.refused(broker.FailedPrecondition, state.TaintAuthority{Use: ca.X509, ID: rootID(1)})
	w.refused(broker.FailedPrecondition, state.RemoveAuthority{Use: ca.X509, ID: rootID(1)})
	before := w.machine.View().Own().Bundle.Sequence
	w.do(state.RemoveAuthority{Use: ca.X509, ID: rootID(1), Revoke: true})
	if own := w.machine.View().Own().Bundle; own.Sequence <= before || len(own.X509) != 1 {
		t.Errorf("the revoked key is still in our bundle: %+v", own)
	}
	w.refused(broker.NotFound, state.RemoveAuthority{Use: ca.X509, ID: rootID(1), Revoke: true})
}

func TestTB_4_OurSequenceGrowsWhateverTheClockSays(t *testing.T) {
	w := founded(t, func(b *state.Bootstrap) { b.Settings.PublicationWindow = 0 })
	last := w.machine.View().Own().Bundle.Sequence
	s := state.DefaultSettings()
	for i, at := range []time.Time{
		epoch, epoch.Add(-time.Hour), epoch.Add(time.Second), time.Unix(-5, 0), epoch.Add(365 * 24 * time.Hour), epoch,
		time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Unix(1, 0),
	} {
		w.now = at
		s.RefreshHint = time.Duration(i+2) * time.Second
		w.do(state.PutSettings{Settings: s})
		next := w.machine.View().Own().Bundle.Sequence
		if want := max(last+1, uint64(max(0, at.Unix()))); next != want {
			t.Errorf("at %s sequence %d came after %d", at, next, last)
		}
		last = next
	}
}
