package audit_test

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/audit"
	"github.com/concord-id/concord/broker/state"
)

var (
	quiet = slog.New(slog.NewTextHandler(io.Discard, nil))
	began = time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)
)

// history is n records as a state makes them, with gaps between the indexes
// where the log has entries that are no commands.
func history(n int) []state.AuditRecord {
	var all []state.AuditRecord
	var head [32]byte
	for i := range n {
		r := state.AuditRecord{
			Index: uint64(3 + 2*i), At: began.Add(time.Duration(i) * time.Minute),
			Actor: fmt.Sprintf("unix:uid=%d,pid=%d", i%3, i), Cause: "test <&> é", RequestID: fmt.Sprintf("request-%d", i),
			Kind: []string{"put_entry", "delete_entry", "put_bundle"}[i%3], Subject: fmt.Sprintf("entry/%d", i%5),
			Fields: []state.AuditField{{Name: "hint", Before: "a\nb", After: "\u2028 \"c\""}, {Name: "dns_names"}},
		}
		if i%4 == 3 {
			r.Code, r.Detail, r.Fields = broker.NotFound, "there is no such entry", nil
		}
		head = state.ChainHead(head, r.Statement())
		r.Head = head
		all = append(all, r)
	}
	return all
}

func open(t testing.TB, dir string) *audit.Trail {
	t.Helper()
	return openSized(t, dir, 0)
}

func openSized(t testing.TB, dir string, bytes int64) *audit.Trail {
	t.Helper()
	trail, err := audit.Open(audit.Options{Dir: dir, Log: quiet, SegmentBytes: bytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, trail) })
	return trail
}

func shut(t testing.TB, trail *audit.Trail) {
	t.Helper()
	if err := trail.Close(); err != nil {
		t.Error(err)
	}
}

func add(t testing.TB, trail *audit.Trail, records ...state.AuditRecord) {
	t.Helper()
	for _, r := range records {
		if err := trail.Append(r); err != nil {
			t.Fatalf("append the record of log entry %d: %v", r.Index, err)
		}
	}
}

// kept is a closed trail with records in dir.
func kept(t testing.TB, bytes int64, records ...state.AuditRecord) (dir string) {
	t.Helper()
	dir = t.TempDir()
	trail := openSized(t, dir, bytes)
	add(t, trail, records...)
	shut(t, trail)
	return dir
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lines are those of a file, each with its end.
func lines(content string) []string {
	return strings.SplitAfter(strings.TrimSuffix(content, "\n"), "\n")
}

// wantWhole wants a trail of exactly these records.
func wantWhole(t testing.TB, trail *audit.Trail, records []state.AuditRecord) {
	t.Helper()
	report, err := trail.Verify(t.Context())
	last := records[len(records)-1]
	if err != nil || !report.Whole() || report.Records != len(records) || report.Last != last.Index || report.Head != last.Head {
		t.Errorf("%+v, %v; want %d records up to %d", report, err, len(records), last.Index)
	}
}
