package state_test

import (
	"bytes"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// recovered recovers v, which must not be refused, and reads it back from a snapshot.
func (w *world) recovered(v *state.View, r state.Recovery) (*state.View, state.AuditRecord) {
	w.t.Helper()
	after, record, err := v.Recover(w.act(), r)
	if err != nil {
		w.t.Fatalf("recover: %v", err)
	}
	var snapshot bytes.Buffer
	if _, err := after.WriteTo(&snapshot); err != nil {
		w.t.Fatalf("write it: %v", err)
	}
	read := state.NewMachine()
	if err := read.Restore(&snapshot); err != nil {
		w.t.Fatalf("read it back: %v", err)
	}
	if read.View().Digest() != after.Digest() {
		w.t.Fatalf("it is another one when it was read back")
	}
	return after, record
}

// live is our bundle as it is published now.
func (w *world) live() *federation.Bundle { return w.machine.View().Own().Bundle }

// turned activates the prepared authority of a use and prepares the next one.
func (w *world) turned(use ca.Use, next ca.Authority) {
	w.t.Helper()
	for _, a := range w.machine.View().Authorities(use) {
		if a.Status == ca.Prepared {
			w.do(state.ActivateAuthority{Use: use, ID: a.ID, Force: true, VouchFor: time.Hour})
		}
	}
	w.do(state.PrepareAuthority{Authority: next})
}

func statusOf(v *state.View, a ca.Authority) string {
	if got, ok := v.Authority(a.Use, a.ID); ok {
		return got.Status.String()
	}
	return "gone"
}

// DESIGN, invariant 3; TB-4; RELIABILITY §1 row 10.
func TestTB_4_ARecoveredBundleTakesNoStepBack(t *testing.T) {
	w := founded(t)
	backup := w.machine.View()
	t.Run("what is published is the backup's: not a bit is different", func(t *testing.T) {
		after, _ := w.later(time.Hour).recovered(backup, state.Recovery{Live: w.live()})
		if !bytes.Equal(after.Own().Document, backup.Own().Document) {
			t.Errorf("it publishes\n%s\nand did\n%s", after.Own().Document, backup.Own().Document)
		}
	})
	t.Run("nobody knows what is published: it goes up", func(t *testing.T) {
		after, _ := w.later(time.Hour).recovered(backup, state.Recovery{})
		if got := after.Own().Bundle; got.Sequence <= backup.Own().Bundle.Sequence || !got.SameAuthorities(backup.Own().Bundle) {
			t.Errorf("the sequence is %d, it was %d", got.Sequence, backup.Own().Bundle.Sequence)
		}
	})
	t.Run("what is published is far ahead, also of the clock", func(t *testing.T) {
		live := *backup.Own().Bundle
		live.Sequence = uint64(w.now.Add(1000 * time.Hour).Unix())
		after, _ := w.recovered(backup, state.Recovery{Live: &live})
		if got := after.Own().Bundle; !got.Equal(&live) { // it says the same
			t.Errorf("the sequence is %d, %d is published", got.Sequence, live.Sequence)
		}
		live.X509 = slices.Clone(live.X509)
		cert, err := root(acme, 20, ca.Old).Certificate()
		if err != nil {
			t.Fatal(err)
		}
		live.X509 = append(live.X509, cert)
		live.Hint++ // so that it can only say something else
		after, _ = w.recovered(backup, state.Recovery{Live: &live})
		if got := after.Own().Bundle.Sequence; got != live.Sequence+1 {
			t.Errorf("the sequence is %d, %d is published", got, live.Sequence)
		}
	})
	t.Run("what is published is older than the backup", func(t *testing.T) {
		live := *backup.Own().Bundle
		live.Sequence--
		live.X509 = slices.DeleteFunc(slices.Clone(live.X509), func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, root(acme, 3, 0).Public) })
		gone, err := root(acme, 21, ca.Old).Certificate()
		if err != nil {
			t.Fatal(err)
		}
		live.X509 = append(live.X509, gone) // the backup had taken it out
		after, _ := w.later(time.Hour).recovered(backup, state.Recovery{Live: &live})
		if got := after.Own().Bundle; got.Sequence <= backup.Own().Bundle.Sequence || !got.SameAuthorities(backup.Own().Bundle) {
			t.Errorf("it publishes %s", after.Own().Document)
		}
		if a, _ := after.Authority(ca.X509, root(acme, 3, 0).ID); !a.PreparedAt.Equal(w.now) {
			t.Errorf("what nobody is known to have seen was prepared at %s: it may sign too early", a.PreparedAt)
		}
	})
}

// DESIGN, invariant 2 and 4: a key that was taken out never comes back, one that
// was put in stays trusted.
func TestARecoveredDomainTrustsWhatIsPublished(t *testing.T) {
	w := founded(t)
	backup := w.machine.View()
	w.later(time.Hour).turned(ca.X509, root(acme, 5, 0))
	w.later(time.Second).turned(ca.JWT, jwtKey(6, 0))
	w.later(time.Second)
	after, record := w.recovered(backup, state.Recovery{Live: w.live()})
	for want, all := range map[string][]ca.Authority{
		"active":   {root(acme, 1, 0), jwtKey(2, 0)}, // still published, so it can still sign
		"prepared": {root(acme, 3, 0), jwtKey(4, 0)},
		"old":      {root(acme, 5, 0), jwtKey(6, 0)},
	} {
		for _, a := range all {
			if got := statusOf(after, a); got != want {
				t.Errorf("%s %s is %s, not %s", a.Use, a.ID, got, want)
			}
		}
	}
	if a, _ := after.Authority(ca.X509, root(acme, 5, 0).ID); len(a.Sealed) != 0 || !a.VouchesUntil.Equal(a.NotAfter) {
		t.Errorf("what the backup lacks is %+v", a)
	}
	if got := after.Own().Bundle; !got.Equal(w.live()) {
		t.Errorf("it says the same as what is published, under sequence %d instead of %d", got.Sequence, w.live().Sequence)
	}
	if record.Kind != state.RecoverKind || record.Head != state.ChainHead(backup.AuditHead(), record.Statement()) || after.AuditHead() != record.Head {
		t.Errorf("the audit chain does not go on: %+v", record)
	}

	// The first ones leave; the next are the ones that sign.
	w.now = w.now.Add(2 * time.Hour)
	w.do(state.RemoveAuthority{Use: ca.X509, ID: root(acme, 1, 0).ID})
	w.do(state.RemoveAuthority{Use: ca.JWT, ID: jwtKey(2, 0).ID})
	w.later(time.Second)
	after, _ = w.recovered(backup, state.Recovery{Live: w.live()})
	for want, all := range map[string][]ca.Authority{
		"gone":   {root(acme, 1, 0), jwtKey(2, 0)},
		"active": {root(acme, 3, 0), jwtKey(4, 0)},
		"old":    {root(acme, 5, 0), jwtKey(6, 0)},
	} {
		for _, a := range all {
			if got := statusOf(after, a); got != want {
				t.Errorf("later: %s %s is %s, not %s", a.Use, a.ID, got, want)
			}
		}
	}

	// A full turn later the backup has no key that is trusted.
	w.turned(ca.X509, root(acme, 7, 0))
	w.turned(ca.JWT, jwtKey(8, 0))
	w.now = w.now.Add(2 * time.Hour)
	w.do(state.RemoveAuthority{Use: ca.X509, ID: root(acme, 3, 0).ID})
	if _, _, err := backup.Recover(w.act(), state.Recovery{Live: w.live()}); broker.CodeOf(err) != broker.FailedPrecondition || !strings.Contains(err.Error(), "--new-trust") {
		t.Errorf("a backup whose root is trusted no more: %v", err)
	}
	fresh := state.Recovery{Live: w.live(), NewTrust: []ca.Authority{root(acme, 11, ca.Active), jwtKey(12, ca.Active), root(acme, 13, ca.Prepared), jwtKey(14, ca.Prepared)}}
	after, _ = w.recovered(backup, fresh)
	if got := after.Own().Bundle; got.Sequence <= w.live().Sequence || len(got.X509) != len(w.live().X509)+2 {
		t.Errorf("with new trust it publishes %d roots under %d, published are %d under %d", len(got.X509), got.Sequence, len(w.live().X509), w.live().Sequence)
	}
	for _, a := range after.Authorities(ca.X509) {
		if isNew := a.ID == root(acme, 11, 0).ID || a.ID == root(acme, 13, 0).ID; isNew == (a.Status == ca.Old) || !isNew && len(a.Sealed) > 0 {
			t.Errorf("with new trust %s is %s", a.ID, a.Status)
		}
	}
}

func TestARecoveredClusterHasNoMembersAndAdmitsNoneOfTheOld(t *testing.T) {
	w := founded(t)
	first := member(1)
	w.do(state.PutMember{Member: first})
	w.do(state.PutJoinToken{Token: state.JoinToken{ID: first.ID, Name: "n2", ExpiresAt: w.now.Add(time.Hour)}})
	w.do(state.PutDuties{Duties: state.Duties{Epoch: 1, Live: []string{first.ID}}})
	w.applyAs(broker.Act{Actor: "a", RequestID: "r-1", At: w.now}, state.PutSettings{Settings: state.DefaultSettings()})
	remembered := w.machine.View().RequestCount()
	after, _ := w.later(time.Minute).recovered(w.machine.View(), state.Recovery{Live: w.live()})
	if gone, ok := after.Removed(first.ID); !ok || gone.Name != first.Name || after.MemberCount() != 0 {
		t.Errorf("the old member is %+v, and there are %d members", gone, after.MemberCount())
	}
	for token := range after.JoinTokens() {
		t.Errorf("join token %s is still good", token.ID)
	}
	if after.Duties().Epoch != 0 || after.RequestCount() != remembered {
		t.Errorf("duties %+v, %d requests remembered of %d", after.Duties(), after.RequestCount(), remembered)
	}
	if _, applied, err := after.Try(w.act(), state.PutMember{Member: first}); err != nil || applied.Refusal == nil || applied.Refusal.Code != broker.PermissionDenied {
		t.Errorf("the old member starts: %+v, %v", applied.Refusal, err)
	}
	next := member(2)
	next.Name = first.Name
	if _, applied, err := after.Try(w.act(), state.PutMember{Member: next}); err != nil || applied.Refusal != nil {
		t.Errorf("the new one starts: %v, %v", applied.Refusal, err)
	}
}

func TestRecoverRefusesABundleThatIsNotOurs(t *testing.T) {
	w := founded(t)
	w.do(operator(bundle(bank, 1, []int{8}, nil)))
	theirs := *w.machine.View().Foreign(bank).Bundle
	renamed := theirs
	renamed.TrustDomain = acme
	unsequenced := *w.live()
	unsequenced.Sequenced = false
	for name, live := range map[string]*federation.Bundle{"another domain's": &theirs, "another's by its certificate": &renamed, "without a sequence": &unsequenced} {
		if _, _, err := w.machine.View().Recover(w.act(), state.Recovery{Live: live}); broker.CodeOf(err) != broker.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := newWorld(t).machine.View().Recover(w.act(), state.Recovery{}); broker.CodeOf(err) != broker.FailedPrecondition {
		t.Errorf("nothing to recover: %v", err)
	}
}
