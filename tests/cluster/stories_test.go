package cluster

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// A story is a file of testdata: what happens to a cluster of whole nodes in a
// synctest bubble, a line that begins with "$ " each, and what is seen of it
// then. What differs from run to run is not shown: members that an election
// chose are given a name by the story, authorities are numbered as they appear.
// "go test ./tests/cluster -run Stories -update" writes what is seen now; the
// difference is for a person to look at.
var update = flag.Bool("update", false, "write the stories anew")

// The stories are told before the tests in real time begin, which they would keep
// from the processor for longer than an election may take.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, string(text)) })
			if *update && !t.Failed() {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("%s is not what is seen now:\n%s", file, difference(string(text), got))
			}
		})
	}
}

// play does what a story says and returns it as it is now.
func play(t *testing.T, text string) string {
	s := newStage(t)
	var out strings.Builder
	for line := range strings.Lines(text) {
		action, isAction := strings.CutPrefix(line, "$ ")
		switch {
		case isAction:
			out.WriteString(line)
			s.line = strings.TrimSpace(action)
			for _, seen := range s.act(strings.Fields(s.line)) {
				out.WriteString("  " + seen + "\n")
			}
		case !strings.HasPrefix(line, "  "):
			out.WriteString(line)
		}
	}
	return out.String()
}

// difference shows where two texts part.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			from, below := max(0, i-3), i+4
			return "it says:\n" + strings.Join(w[min(from, len(w)):min(below, len(w))], "\n") + "\nseen is:\n" + strings.Join(g[min(from, len(g)):min(below, len(g))], "\n")
		}
	}
	return ""
}
