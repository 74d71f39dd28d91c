package state_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

func field(r state.AuditRecord, record, name string) (before, after string) {
	for _, f := range r.Fields {
		if f.Record == record && f.Name == name {
			return f.Before, f.After
		}
	}
	return "", ""
}

func TestEveryChangeHasAnAuthor(t *testing.T) {
	w := founded(t)
	act := broker.Act{Actor: "spiffe://acme.example/ops", Cause: "ticket 12", RequestID: "r1", At: epoch}
	e := entry("a", "/a", "unix:uid:1")
	e.Hint = "one"
	r := w.applyAs(act, state.PutEntry{Entry: e}).Record
	if r.Actor != act.Actor || r.Cause != act.Cause || r.RequestID != "r1" || !r.At.Equal(epoch) || r.Index != w.index ||
		r.Kind != "put_entry" || r.Subject != "entry/a" || r.Code != "" {
		t.Errorf("the record is %+v", r)
	}
	if before, after := field(r, "entry/a", "spiffe_id"); before != "" || after != "spiffe://acme.example/a" {
		t.Errorf("the SPIFFE ID went from %q to %q", before, after)
	}
	e.Hint, e.Selectors = "two", selectors("unix:uid:1", "unix:gid:1")
	r = w.do(state.PutEntry{Entry: e, IfRevision: revision(0)}).Record
	if before, after := field(r, "entry/a", "hint"); before != "one" || after != "two" {
		t.Errorf("the hint went from %q to %q", before, after)
	}
	if before, after := field(r, "entry/a", "selectors"); before != "unix:uid:1" || after != "unix:gid:1, unix:uid:1" {
		t.Errorf("the selectors went from %q to %q", before, after)
	}
	if len(r.Fields) != 3 { // hint, selectors, revision
		t.Errorf("the differences are %+v", r.Fields)
	}
	r = w.do(state.DeleteEntry{ID: "a"}).Record
	if before, after := field(r, "entry/a", "hint"); before != "two" || after != "" {
		t.Errorf("the hint went from %q to %q", before, after)
	}
}

func TestWhatFollowsFromACommandIsInItsRecord(t *testing.T) {
	w := followed(t)
	w.do(operator(bundle(bank, 4, []int{10}, []int{11})))
	r := w.do(state.DeleteRelationship{TrustDomain: bank}).Record
	if before, after := field(r, "bundle/bank.example", "sequence"); before != "4" || after != "" {
		t.Errorf("the bundle went from %q to %q", before, after)
	}
	r = w.later(time.Hour).do(activate(3)).Record
	for n, want := range map[int][2]string{1: {"active", "old"}, 3: {"prepared", "active"}} {
		if before, after := field(r, "authority/x509/"+rootID(n), "status"); before != want[0] || after != want[1] {
			t.Errorf("authority %d went from %q to %q", n, before, after)
		}
	}
	r = w.do(state.PrepareAuthority{Authority: root(acme, 5, 0)}).Record
	if before, after := field(r, "own_bundle", "sequence"); before == "" || after == "" || before == after {
		t.Errorf("our sequence went from %q to %q", before, after)
	}
}

func TestARefusalIsRecorded(t *testing.T) {
	w := founded(t)
	head := w.machine.View().AuditHead()
	r := w.apply(state.DeleteEntry{ID: "nobody"}).Record
	if r.Code != broker.NotFound || !strings.Contains(r.Detail, "nobody") || r.Subject != "entry/nobody" || len(r.Fields) != 0 {
		t.Errorf("the record is %+v", r)
	}
	if w.machine.View().AuditHead() == head || r.Head != w.machine.View().AuditHead() {
		t.Error("the chain did not grow by the refusal")
	}
}

func TestTheChainHoldsEveryRecord(t *testing.T) {
	w := newWorld(t)
	var records []state.AuditRecord
	for _, c := range append([]state.Command{bootstrap()}, samples()...) {
		records = append(records, w.applyAs(w.as("r"+fmt.Sprint(w.index)), c).Record)
	}
	var head [32]byte
	for _, r := range records {
		if head = state.ChainHead(head, r.Statement()); head != r.Head {
			t.Fatalf("the head after record %d is %x, not %x", r.Index, head, r.Head)
		}
	}
	if head != w.machine.View().AuditHead() {
		t.Error("the view has another head")
	}
}

func TestEveryPartOfARecordIsInItsStatement(t *testing.T) {
	full := state.AuditRecord{
		Index: 1, At: epoch, Actor: "a", Cause: "b", RequestID: "c", Kind: "d", Subject: "e", Code: "f", Detail: "g",
		Fields: []state.AuditField{{Record: "r", Name: "n", Before: "x", After: "y"}, {Record: "r", Name: "m"}},
	}
	statements := map[string]string{string(full.Statement()): "as it is"}
	note := func(r state.AuditRecord, what string) {
		if other, known := statements[string(r.Statement())]; known {
			t.Errorf("%s says the same as %s", what, other)
		}
		statements[string(r.Statement())] = what
	}
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "Head" || name == "Detail" { // the chain itself, and words that a version may choose
			continue
		}
		changed := full
		reflect.ValueOf(&changed).Elem().Field(i).SetZero()
		note(changed, "without "+name)
	}
	for i := range 4 {
		changed := full
		changed.Fields = slices.Clone(full.Fields)
		reflect.ValueOf(&changed.Fields[0]).Elem().Field(i).SetZero()
		note(changed, fmt.Sprint("without part ", i, " of a field"))
	}
	moved := full
	moved.Actor, moved.Cause = "ab", ""
	note(moved, "with a letter moved")
	moved = full
	moved.Fields = full.Fields[:1]
	note(moved, "with a field less")
}

func TestNoSecretIsInTheTrail(t *testing.T) {
	w := newWorld(t)
	for _, c := range append([]state.Command{bootstrap()}, samples()...) {
		w.later(time.Hour)
		r := w.apply(c).Record
		text := fmt.Sprintf("%+v%s", r, r.Statement())
		// The last is how base64 begins, whatever follows.
		for _, secret := range []string{"sealed key", hex.EncodeToString([]byte("sealed key")), base64.RawStdEncoding.EncodeToString([]byte("sealed ke"))} {
			if strings.Contains(text, secret) {
				t.Errorf("%T: a sealed key is in its record: %s", c, text)
			}
		}
	}
	if a := w.authority(1); !bytes.Contains(a.Sealed, []byte("sealed key")) {
		t.Error("the test seals its keys otherwise")
	}
}

func TestARecordStaysSmall(t *testing.T) {
	w := followed(t)
	w.do(operator(bundle(bank, 1, []int{10}, nil)))
	for i := range 500 {
		e := entry(fmt.Sprint(i), fmt.Sprint("/", i, strings.Repeat("x", 1500)), "unix:uid:1", "unix:path:/"+strings.Repeat("y", 1500))
		e.FederatesWith = append(e.FederatesWith, bank)
		if r := w.do(state.PutEntry{Entry: e}).Record; len(r.Statement()) > 8192 {
			t.Fatalf("a record has %d bytes", len(r.Statement()))
		}
	}
	applied := w.do(state.DeleteBundle{TrustDomain: bank, Mode: state.DeleteThem})
	if n := len(applied.Record.Statement()); n > 256<<10 {
		t.Errorf("the record of 500 deletions has %d bytes", n)
	}
	if last := applied.Record.Fields[len(applied.Record.Fields)-1]; last.Name != "more" {
		t.Errorf("it ends with %+v and does not say that there is more", last)
	}
	if applied.Change.AllEntries || len(applied.Change.Entries) != 500 {
		t.Errorf("the change names %d entries", len(applied.Change.Entries))
	}
}

func TestALongValueIsShownByItsBeginning(t *testing.T) {
	w := founded(t)
	e := entry("a", "/a", "unix:uid:1")
	e.Hint = strings.Repeat("é", 400)
	r := w.do(state.PutEntry{Entry: e}).Record
	_, after := field(r, "entry/a", "hint")
	if !strings.HasPrefix(after, strings.Repeat("é", 120)) || !strings.Contains(after, "800 bytes, SHA-256 ") || len(after) > 400 {
		t.Errorf("the hint is shown as %q", after)
	}
	e.Hint = strings.Repeat("é", 399) + "e"
	r = w.do(state.PutEntry{Entry: e, IfRevision: revision(0)}).Record
	if before, next := field(r, "entry/a", "hint"); before != after || next == after {
		t.Error("values that differ at their end look equal")
	}
}
