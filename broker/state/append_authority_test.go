package state_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// appended is the command that publishes the public half of a.
func appended(a ca.Authority) state.AppendAuthority {
	return state.AppendAuthority{Use: a.Use, ID: a.ID, Public: a.Public, NotAfter: a.NotAfter}
}

func TestAnAppendedAuthorityIsPublishedAndNeverSigns(t *testing.T) {
	for _, a := range []ca.Authority{root(acme, 9, 0), jwtKey(9, 0)} {
		t.Run(a.Use.String(), func(t *testing.T) {
			w := founded(t)
			before := w.machine.View().Own().Bundle
			applied := w.later(time.Second).do(appended(a))
			own := w.machine.View().Own().Bundle
			if !applied.Change.Own || !applied.Change.Authorities || len(own.X509)+len(own.JWT) != 5 || own.Sequence <= before.Sequence {
				t.Errorf("changed %+v, our bundle has %d and %d keys", applied.Change, len(own.X509), len(own.JWT))
			}
			got, ok := w.machine.View().Authority(a.Use, a.ID)
			if !ok || got.Status != ca.Old || !got.VouchesUntil.Equal(a.NotAfter) || got.Sealed != nil || got.OldAt != w.now {
				t.Errorf("the authority is %+v", got)
			}
			w.refused(broker.FailedPrecondition, state.ActivateAuthority{Use: a.Use, ID: a.ID, Force: true})
			if again := w.do(appended(a)); !again.Change.Empty() {
				t.Errorf("appending it again changed %+v", again.Change)
			}
			w.refused(broker.FailedPrecondition, state.RemoveAuthority{Use: a.Use, ID: a.ID})
			w.do(state.TaintAuthority{Use: a.Use, ID: a.ID})
			w.do(state.RemoveAuthority{Use: a.Use, ID: a.ID, Revoke: true})
		})
	}
}

func TestAnAppendedAuthorityLeavesWhenItEnds(t *testing.T) {
	w, a := founded(t), jwtKey(9, 0)
	w.do(appended(a))
	w.now = a.NotAfter
	w.do(state.RemoveAuthority{Use: a.Use, ID: a.ID})
}

func TestAppendAuthorityRefusesKeysThatAreSomebodysAlready(t *testing.T) {
	w := founded(t)
	w.do(operator(bundle(bank, 1, []int{8}, nil)))
	ours := appended(jwtKey(2, 0))
	ours.ID = "another name"
	w.refused(broker.AlreadyExists, ours)
	w.refused(broker.FailedPrecondition, appended(root(acme, 8, 0)))
	other := appended(jwtKey(9, 0))
	w.do(other)
	other.Public = jwtKey(10, 0).Public
	w.refused(broker.AlreadyExists, other)
	ended := appended(jwtKey(11, 0))
	ended.NotAfter = w.now
	w.refused(broker.InvalidArgument, ended)
	for n := range state.MaxAuthoritiesPerUse - 3 {
		w.do(appended(jwtKey(20+n, 0)))
	}
	w.refused(broker.ResourceExhausted, appended(jwtKey(11, 0)))
}

func TestAppendAuthorityIsValidatedAndReadBack(t *testing.T) {
	good := appended(root(acme, 9, 0))
	entry, err := state.Encode(broker.Act{Actor: "test", At: epoch}, good)
	if err != nil {
		t.Fatal(err)
	}
	if _, read, err := state.Decode(entry); err != nil || !reflect.DeepEqual(read, good) {
		t.Errorf("read back %+v, %v", read, err)
	}
	for name, change := range map[string]func(*state.AppendAuthority){
		"no use":          func(c *state.AppendAuthority) { c.Use = 0 },
		"no ID":           func(c *state.AppendAuthority) { c.ID = "" },
		"a long ID":       func(c *state.AppendAuthority) { c.ID = string(make([]byte, 256)) },
		"another ID":      func(c *state.AppendAuthority) { c.ID = "00" },
		"no end":          func(c *state.AppendAuthority) { c.NotAfter = time.Time{} },
		"another end":     func(c *state.AppendAuthority) { c.NotAfter = c.NotAfter.Add(time.Second) },
		"no certificate":  func(c *state.AppendAuthority) { c.Public = []byte("x") },
		"no key":          func(c *state.AppendAuthority) { c.Use, c.Public = ca.JWT, nil },
		"another's shape": func(c *state.AppendAuthority) { c.Public = jwtKey(9, 0).Public },
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			change(&bad)
			if bad.Validate() == nil {
				t.Error("it was accepted")
			}
		})
	}
}
