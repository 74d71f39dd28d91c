package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// backup writes backups where something is already, and where it cannot be had.
func (w *world) backup(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "acme.backup")
	first := must[backedUp](t, "cluster", "backup", file)
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 || info.Size() != first.Bytes || first.TrustDomain != "acme.example" {
		t.Fatalf("%v, %v, it says %+v", info, err, first)
	}
	if checked := must[backedUp](t, "cluster", "backup", "--verify", file); checked.Digest != first.Digest || checked.Bytes != first.Bytes {
		t.Errorf("checked it is %+v, written it was %+v", checked, first)
	}
	if got := concord(t.Context(), "", "cluster", "backup", file); got.code != exitFailed || !strings.Contains(got.err, "--force") {
		t.Errorf("onto a file: exit %d: %s", got.code, got.err)
	}
	if err := os.WriteFile(file, []byte("something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := concord(t.Context(), "", "cluster", "backup", "--verify", file); got.code != exitFailed || !strings.Contains(got.err, "not a backup of Concord") {
		t.Errorf("something else: exit %d: %s", got.code, got.err)
	}
	must[backedUp](t, "cluster", "backup", file, "--force")
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("in the place of a file that others may read: %v, %v", info, err)
	}
	piped := concord(t.Context(), "", "cluster", "backup", "-")
	if piped.code != exitDone || !strings.HasPrefix(piped.out, "concord backup 1\n") || !strings.Contains(piped.err, "acme.example") {
		t.Errorf("to standard output: exit %d, %d bytes: %s", piped.code, len(piped.out), piped.err)
	}
	if got := concord(t.Context(), "", "cluster", "backup", filepath.Join(dir, "none"), "--socket", filepath.Join(dir, "no.sock")); got.code != exitFailed {
		t.Errorf("without a node: exit %d: %s", got.code, got.err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("left behind is %v, %v", names, err)
	}
}

func TestRestoreIsNotMisused(t *testing.T) {
	for want, args := range map[string][]string{
		"exclude each other":        {"x.backup", "--published", "p", "--without-published"},
		"no such file or directory": {filepath.Join(t.TempDir(), "none")},
		"Run 'concord":              nil,
	} {
		got := concord(t.Context(), "", append([]string{"cluster", "restore"}, args...)...)
		if got.code == exitDone || !strings.Contains(got.err, want) {
			t.Errorf("%q: exit %d: %s", args, got.code, got.err)
		}
	}
}
