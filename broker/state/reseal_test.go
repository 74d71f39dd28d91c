package state_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// resealed is the command that seals the keys of authorities again.
func resealed(authorities ...ca.Authority) state.Reseal {
	c := state.Reseal{KEK: "kek-2"}
	for i, a := range authorities {
		c.Keys = append(c.Keys, state.SealedKey{Use: a.Use, ID: a.ID, Sealed: fmt.Appendf(nil, "sealed key again %d", i)})
	}
	return c
}

// initial are the authorities that a world is founded with.
func initial() []ca.Authority { return bootstrap().Authorities }

func TestSealingAgainPublishesNothing(t *testing.T) {
	w := founded(t)
	before := w.machine.View().Own()
	applied := w.later(time.Hour).do(resealed(initial()...))
	if c := applied.Change; !c.Authorities || c.Own || c.Settings || applied.Subject != "key_encryption_key/kek-2" {
		t.Errorf("it changed %+v of %s", c, applied.Subject)
	}
	if w.machine.View().Own() != before {
		t.Error("our bundle is another one")
	}
	for i, a := range initial() {
		have, _ := w.machine.View().Authority(a.Use, a.ID)
		if string(have.Sealed) != fmt.Sprint("sealed key again ", i) || !bytes.Equal(have.Public, a.Public) || have.Status != a.Status {
			t.Errorf("the authority is %+v", have)
		}
	}
	if text := fmt.Sprintf("%+v%s", applied.Record, applied.Record.Statement()); strings.Contains(text, "again") {
		t.Errorf("a sealed key is in the audit trail: %s", text)
	}
	if again := w.do(resealed(initial()...)); !again.Change.Empty() {
		t.Errorf("the same again changed %+v", again.Change)
	}
}

func TestEveryKeyThatSignsIsSealedAgain(t *testing.T) {
	newWorld(t).refused(broker.FailedPrecondition, resealed(initial()...))
	w := founded(t)
	for i := range initial() {
		some := append(initial()[:i], initial()[i+1:]...)
		w.refused(broker.FailedPrecondition, resealed(some...))
	}
	w.do(state.ActivateAuthority{Use: ca.X509, ID: rootID(3), Force: true, VouchFor: time.Hour})
	w.do(resealed(initial()[1:]...)) // the old one signs no more
	w.do(resealed(initial()...))
	w.do(state.RemoveAuthority{Use: ca.X509, ID: rootID(1), Revoke: true})
	w.refused(broker.FailedPrecondition, resealed(initial()...)) // it was made before the removal
	w.do(state.PrepareAuthority{Authority: root(acme, 5, 0)})
	w.refused(broker.FailedPrecondition, resealed(initial()[1:]...)) // it was made before the next was prepared
	w.do(resealed(append(initial()[1:], root(acme, 5, 0))...))
}

func TestAKeyThatIsNotHereIsNotSealed(t *testing.T) {
	w := founded(t)
	w.do(appended(root(acme, 9, 0)))
	w.refused(broker.InvalidArgument, resealed(append(initial(), root(acme, 9, 0))...))
	w.do(resealed(initial()...))
}

func TestResealIsValidated(t *testing.T) {
	for name, change := range map[string]func(*state.Reseal){
		"no key-encryption key":   func(c *state.Reseal) { c.KEK = "" },
		"a long name":             func(c *state.Reseal) { c.KEK = strings.Repeat("k", state.MaxKEKIDBytes+1) },
		"a name not in UTF-8":     func(c *state.Reseal) { c.KEK = "\xff" },
		"no keys":                 func(c *state.Reseal) { c.Keys = nil },
		"an authority of nothing": func(c *state.Reseal) { c.Keys[0].Use = 9 },
		"an authority without ID": func(c *state.Reseal) { c.Keys[0].ID = "" },
		"a key that is not there": func(c *state.Reseal) { c.Keys[0].Sealed = nil },
		"an authority twice":      func(c *state.Reseal) { c.Keys = append(c.Keys, c.Keys[0]) },
		"more keys than may be": func(c *state.Reseal) {
			for i := range 2 * state.MaxAuthoritiesPerUse {
				c.Keys = append(c.Keys, state.SealedKey{Use: ca.JWT, ID: fmt.Sprint(i), Sealed: []byte("x")})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad := resealed(initial()...)
			change(&bad)
			if bad.Validate() == nil {
				t.Error("it was accepted")
			}
		})
	}
}
