package audit_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/concord-id/concord/broker/audit"
	"github.com/concord-id/concord/broker/state"
)

// restoredRecord is the record of a restore of a backup of log entry 41.
func restoredRecord(kind string) (before [32]byte, r state.AuditRecord) {
	before = sha256.Sum256([]byte("what was"))
	r = state.AuditRecord{Index: 42, Actor: "unix:uid=0", Cause: "test", Kind: kind, Subject: "domain"}
	r.Head = state.ChainHead(before, r.Statement())
	return before, r
}

func TestATrailThatBeginsWithARestoreIsWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	before, r := restoredRecord(state.RecoverKind)
	if err := audit.Begin(dir, before, r); err != nil {
		t.Fatal(err)
	}
	trail, err := audit.Open(audit.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer trail.Close()
	if err := trail.Restored(42, r.Head); err != nil { // the node's first start
		t.Fatal(err)
	}
	next := state.AuditRecord{Index: 44, Kind: "put_member"}
	next.Head = state.ChainHead(r.Head, next.Statement())
	if err := trail.Append(next); err != nil {
		t.Fatal(err)
	}
	report, err := trail.Verify(t.Context())
	if err != nil || !report.Whole() || report.Restored != 41 || report.Records != 2 || report.Head != next.Head {
		t.Errorf("verified %+v, %v", report, err)
	}
	if err := audit.Begin(dir, before, r); err == nil {
		t.Error("it was begun a second time")
	}
}

// A trail whose older files were taken away cannot pass for a restored one.
func TestATrailThatBeginsWithAnotherRecordLacksSome(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	before, r := restoredRecord("put_entry")
	if err := audit.Begin(dir, before, r); err != nil {
		t.Fatal(err)
	}
	if report, err := audit.VerifyDir(t.Context(), dir); err != nil || report.Whole() || report.Restored != 0 {
		t.Errorf("verified %+v, %v", report, err)
	}
	file := filepath.Join(dir, "00000000000000000041.jsonl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	forged := strings.Replace(string(text), "put_entry", state.RecoverKind, 1)
	if err := os.WriteFile(file, []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := audit.VerifyDir(t.Context(), dir); err != nil || report.Whole() {
		t.Errorf("forged: verified %+v, %v", report, err)
	}
}
