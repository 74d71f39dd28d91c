package state_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// kekName names the nth key-encryption key.
func kekName(n int) string { return fmt.Sprintf("%016x", n) }

// sealedWith is a private key as the nth key-encryption key seals it.
func sealedWith(n int, what string) []byte {
	check, _ := hex.DecodeString(kekName(n))
	return slices.Concat([]byte(ca.SealedMagic), check, []byte(what))
}

// under returns a with its private key sealed by the nth key-encryption key.
func under(n int, a ca.Authority) ca.Authority {
	a.Sealed = sealedWith(n, a.ID)
	return a
}

// renewed seals everything that v has with the nth key-encryption key, made from v.
func renewed(v *state.View, n int) state.Reseal {
	sealing, _ := v.Sealing()
	removed := v.RemovedCount()
	c := state.Reseal{KEK: kekName(n), Removed: &removed, After: sealing.Index}
	for _, a := range append(v.Authorities(ca.X509), v.Authorities(ca.JWT)...) {
		if a.Sealed != nil {
			c.Keys = append(c.Keys, state.SealedKey{Use: a.Use, ID: a.ID, Sealed: sealedWith(n, a.ID)})
		}
	}
	return c
}

// dueFor is why the key-encryption key must change, in short.
func dueFor(v *state.View) string {
	due, is := v.ResealDue()
	text := fmt.Sprint(is, due.Asked)
	for _, r := range due.Removed {
		text += " " + r.Name
	}
	return text
}

func TestTheKEKIsToChangeWhenAskedAndAfterARemoval(t *testing.T) {
	w := newWorld(t)
	w.refused(broker.FailedPrecondition, state.RenewKEK{})
	w = clustered(t, 3)
	want := func(step, due string) {
		t.Helper()
		if have := dueFor(w.machine.View()); have != due {
			t.Errorf("%s: it is to change: %s, want %s", step, have, due)
		}
	}
	want("at first", "false false")
	if applied := w.do(state.RenewKEK{}); !applied.Change.Authorities || applied.Subject != "sealing" {
		t.Errorf("it changed %+v of %s", applied.Change, applied.Subject)
	}
	want("asked for", "true true")
	w.do(renewed(w.machine.View(), 1))
	want("done", "false false")
	w.do(state.RemoveMember{ID: nodeID(2)})
	want("a member is removed", "true false n2")
	w.do(state.RenewKEK{})
	want("and it is asked for", "true true n2")
	index := w.do(renewed(w.machine.View(), 2)).Index
	want("done again", "false false")
	sealing, known := w.machine.View().Sealing()
	if !known || sealing.KEK != kekName(2) || sealing.Index != index || len(sealing.Exposed) > 0 || len(w.machine.View().Turning()) > 0 {
		t.Errorf("it says %+v", sealing)
	}
	if gone, _ := w.machine.View().Removed(nodeID(2)); gone.Resealed != index {
		t.Errorf("of the removed member it says %+v", gone)
	}
}

func TestAKEKMadeFromAnOlderViewIsRefused(t *testing.T) {
	for name, meanwhile := range map[string]func(w *world) broker.Code{
		"another took its place": func(w *world) broker.Code { w.do(renewed(w.machine.View(), 7)); return broker.Aborted },
		"a member was removed":   func(w *world) broker.Code { w.do(state.RemoveMember{ID: nodeID(3)}); return broker.Aborted },
		"an authority was prepared": func(w *world) broker.Code {
			w.do(state.ActivateAuthority{Use: ca.X509, ID: rootID(3), Force: true, VouchFor: time.Hour})
			w.do(state.PrepareAuthority{Authority: root(acme, 5, 0)})
			return broker.FailedPrecondition
		},
		"an authority was removed": func(w *world) broker.Code {
			w.do(state.TaintAuthority{Use: ca.X509, ID: rootID(3)})
			w.do(state.RemoveAuthority{Use: ca.X509, ID: rootID(3), Revoke: true})
			return broker.FailedPrecondition
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := clustered(t, 3)
			late := renewed(w.machine.View(), 1)
			code := meanwhile(w)
			w.refused(code, late)
			w.do(renewed(w.machine.View(), 1))
		})
	}
	w := clustered(t, 3)
	other := renewed(w.machine.View(), 1)
	other.Keys[0].Sealed = sealedWith(2, "x")
	w.refused(broker.InvalidArgument, other)
	w.do(resealed(initial()...)) // as versions did that did not say
	w.do(renewed(w.machine.View(), 1))
	w.refused(broker.FailedPrecondition, resealed(initial()...))
}

func TestAKeySealedWithTheKEKBeforeIsNotPrepared(t *testing.T) {
	w := clustered(t, 3)
	w.do(renewed(w.machine.View(), 1))
	w.do(state.ActivateAuthority{Use: ca.X509, ID: rootID(3), Force: true, VouchFor: time.Hour})
	for name, a := range map[string]ca.Authority{
		"before any was named":   root(acme, 5, 0),
		"by another":             under(9, root(acme, 5, 0)),
		"too short to be sealed": func() ca.Authority { a := root(acme, 5, 0); a.Sealed = []byte(ca.SealedMagic); return a }(),
	} {
		if applied := w.apply(state.PrepareAuthority{Authority: a}); applied.Refusal == nil || applied.Refusal.Code != broker.Aborted {
			t.Errorf("%s: %v", name, applied.Refusal)
		}
	}
	w.do(state.PrepareAuthority{Authority: under(1, root(acme, 5, 0))})
}

func TestWhatACompromisedMemberCouldOpenIsExposed(t *testing.T) {
	w := clustered(t, 3)
	w.do(state.ActivateAuthority{Use: ca.X509, ID: rootID(3), Force: true, VouchFor: time.Hour})
	w.do(appended(root(acme, 9, 0)))
	w.do(state.RemoveMember{ID: nodeID(3), Compromised: true})
	if len(w.machine.View().Turning()) > 0 {
		t.Error("something is exposed before it is known what")
	}
	w.do(state.PrepareAuthority{Authority: root(acme, 5, 0)}) // after the removal, and with the KEK before
	w.do(renewed(w.machine.View(), 1))
	turning := func(want ...string) {
		t.Helper()
		var have []string
		for _, a := range w.machine.View().Turning() {
			have = append(have, a.ID)
		}
		slices.Sort(have)
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("to turn are %q, want %q", have, want)
		}
	}
	turning(rootID(1), rootID(3), rootID(5), jwtKey(2, 0).ID, jwtKey(4, 0).ID)
	w.do(state.TaintAuthority{Use: ca.X509, ID: rootID(1)})
	w.do(state.TaintAuthority{Use: ca.X509, ID: rootID(5)})
	turning(rootID(3), rootID(5), jwtKey(2, 0).ID, jwtKey(4, 0).ID)
	w.do(state.RemoveAuthority{Use: ca.X509, ID: rootID(5), Revoke: true})
	w.do(state.PrepareAuthority{Authority: under(1, root(acme, 7, 0))})
	w.do(state.ActivateAuthority{Use: ca.X509, ID: rootID(7), Force: true, VouchFor: time.Hour})
	w.do(state.TaintAuthority{Use: ca.X509, ID: rootID(3)})
	turning(jwtKey(2, 0).ID, jwtKey(4, 0).ID)
	// Another key-encryption key for another reason exposes nothing new.
	w.do(renewed(w.machine.View(), 2))
	turning(jwtKey(2, 0).ID, jwtKey(4, 0).ID)
	if have, _ := w.machine.View().Authority(ca.X509, rootID(7)); w.machine.View().Exposed(have) {
		t.Error("what was made after the change is exposed")
	}
}

func TestThatAMemberWasCompromisedCanBeSaidLater(t *testing.T) {
	w := clustered(t, 3)
	w.do(state.RemoveMember{ID: nodeID(3)})
	w.do(renewed(w.machine.View(), 1))
	w.do(state.RemoveMember{ID: nodeID(3), Compromised: true})
	if have := dueFor(w.machine.View()); have != "true false n3" {
		t.Errorf("it is to change: %s", have)
	}
	w.do(renewed(w.machine.View(), 2))
	if len(w.machine.View().Turning()) != 4 || w.machine.View().TurnAtOnce() {
		t.Errorf("to turn are %d, at once %v", len(w.machine.View().Turning()), w.machine.View().TurnAtOnce())
	}
	w.do(state.RemoveMember{ID: nodeID(3), Compromised: true, Force: true})
	if have := dueFor(w.machine.View()); have != "false false" || !w.machine.View().TurnAtOnce() {
		t.Errorf("it is to change: %s, at once %v", have, w.machine.View().TurnAtOnce())
	}
	w.refused(broker.NotFound, state.RemoveMember{ID: nodeID(3), Compromised: true, Force: true})
	// Of the next one it is not said.
	w.do(state.RemoveMember{ID: nodeID(2), Compromised: true})
	w.do(renewed(w.machine.View(), 3))
	if w.machine.View().TurnAtOnce() {
		t.Error("what was said of one member counts for another")
	}
	if (state.RemoveMember{ID: nodeID(1), Force: true}).Validate() == nil {
		t.Error("something is forced of a member that is trusted")
	}
}
