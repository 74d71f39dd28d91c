// Package edited builds the node's program as it ships but for some edits, which
// are made for one build and never on disk.
package edited

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Edit is a change of a source file.
type Edit struct {
	File     string // from the repository's root, or absolute
	Old, New string // Old occurs once
}

// Build makes the program in the file out from the repository at root, as it
// ships but for the edits.
func Build(ctx context.Context, root, out string, edits ...Edit) error {
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
func overlaid(root, dir string, edits []Edit) (description string, err error) {
	if dir, err = os.MkdirTemp(dir, "edited-*"); err != nil {
		return "", err
	}
	edited := map[string]string{}
	for _, e := range edits {
		text, ok := edited[e.File]
		if !ok {
			content, err := os.ReadFile(source(root, e.File))
			if err != nil {
				return "", err
			}
			text = string(content)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return "", fmt.Errorf("%q stands %d times in %s, want once: the code moved on, so mend the edit", e.Old, n, e.File)
		}
		edited[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	replace := map[string]string{}
	for file, text := range edited {
		original, err := filepath.Abs(source(root, file))
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

// source is where a file of an edit is.
func source(root, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(root, file)
}
