package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// module writes a module with one target, that fails if find is set.
func module(t *testing.T, find bool) string {
	t.Helper()
	dir := t.TempDir()
	body := "if len(b) < 0 { t.Fatal(b) }"
	if find {
		body = "if len(b) > 2 { t.Fatal(\"too long\") }"
	}
	for name, text := range map[string]string{
		"go.mod":    "module p\ngo 1.26\n",
		"p_test.go": "package p\nimport \"testing\"\nfunc FuzzBytes(f *testing.F) { f.Add([]byte(\"a\")); f.Fuzz(func(t *testing.T, b []byte) { " + body + " }) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTargetThatFindsSomethingFails(t *testing.T) {
	for name, find := range map[string]bool{"nothing to find": false, "something to find": true} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			failed, err := run(t.Context(), &out, module(t, find), "", 2*time.Second)
			if err != nil || (failed > 0) != find {
				t.Errorf("failed %d, error %v, printed\n%s", failed, err, out.String())
			}
		})
	}
}

func TestEveryParserOfForeignBytesHasATarget(t *testing.T) {
	all, err := targets("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{"attest/process/unix", "broker/state", "ca", "cmd/concord", "federation", "federation/fetch", "workload"} {
		found := false
		for _, target := range all {
			found = found || target.pkg == pkg
		}
		if !found {
			t.Errorf("%s reads foreign bytes and has no fuzz target", pkg)
		}
	}
}

func TestUnknownTargetIsSaid(t *testing.T) {
	_, err := run(t.Context(), &bytes.Buffer{}, "../..", "NoSuchTarget", time.Second)
	if err == nil || !strings.Contains(err.Error(), "NoSuchTarget") {
		t.Errorf("got %v", err)
	}
}
