package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// edit is a change of a source file that is made for one build and never on disk.
type edit struct {
	file     string // from the repository's root
	old, new string // old occurs once
}

// hasty makes a node take snapshots, and shorten its log, all the time, so that
// crashes come between. What it writes, every node reads.
var hasty = []edit{
	{"broker/replica/open.go", "snapshotEntries  = 4096", "snapshotEntries  = 16"},
	{"broker/replica/open.go", "snapshotInterval = 30 * time.Second", "snapshotInterval = 20 * time.Millisecond"},
	{"broker/replica/open.go", "trailingEntries  = 1024", "trailingEntries  = 16"},
}

// build makes the program in the file out from the repository at root, as it
// ships but for the edits.
func build(ctx context.Context, root, out string, edits ...edit) error {
	args := []string{"build", "-ldflags=-w", "-o", out}
	if len(edits) > 0 {
		overlay, err := overlaid(root, filepath.Dir(out), edits)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/concord")...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath "+os.Getenv("GOFLAGS"))
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the node: %w\n%s", err, output)
	}
	return nil
}

// overlaid writes the edited files into a new directory below dir, and the
// description of them that go build reads.
func overlaid(root, dir string, edits []edit) (description string, err error) {
	if dir, err = os.MkdirTemp(dir, "edited-*"); err != nil {
		return "", err
	}
	edited := map[string]string{}
	for _, e := range edits {
		text, ok := edited[e.file]
		if !ok {
			content, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return "", err
			}
			text = string(content)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("%q stands %d times in %s, want once: the code moved on, so mend the edit", e.old, n, e.file)
		}
		edited[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	replace := map[string]string{}
	for file, text := range edited {
		original, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		replace[original] = filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(replace[original], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	description = filepath.Join(dir, "overlay.json")
	return description, os.WriteFile(description, content, 0o600)
}
