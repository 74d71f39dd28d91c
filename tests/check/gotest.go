package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// event is a line of `go test -json`.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

// reading is what is known of the tests that have not ended yet.
type reading struct {
	t       *tally
	out     io.Writer
	printed map[string][]string // output by package and test, kept until it ends
	counts  map[string]int      // tests that passed, by package
	broken  map[string]bool     // packages with a failed test
}

func goTest(ctx context.Context, t *tally, out io.Writer, only string, count int, packages []string) {
	args := []string{"test", "-json", "-race", "-tags", "netgo,osusergo", "-timeout", "10m", fmt.Sprintf("-count=%d", count)}
	if only != "" {
		args = append(args, "-run", only)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	cmd.Stderr = out
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.fail("go test: " + err.Error())
		return
	}
	before := len(t.failed)
	r := &reading{t: t, out: out, printed: map[string][]string{}, counts: map[string]int{}, broken: map[string]bool{}}
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		r.line(lines.Bytes())
	}
	if err := cmd.Wait(); err != nil && len(t.failed) == before {
		t.fail("go test: " + err.Error())
	}
	if err := lines.Err(); err != nil {
		t.fail("go test: reading its output: " + err.Error())
	}
}

func (r *reading) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprintln(r.out, indent(string(line)))
		return
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, "    ", e.Output)
	case "build-fail":
		r.t.fail("build of " + e.ImportPath)
	case "output":
		r.printed[key] = append(r.printed[key], e.Output)
	case "pass", "fail", "skip":
		r.ended(e, key)
		delete(r.printed, key)
	}
}

func (r *reading) ended(e event, key string) {
	took := time.Duration(e.Elapsed * float64(time.Second))
	name := short(e.Package)
	if e.Test == "" {
		r.packageEnded(e, key, name, took)
		return
	}
	switch e.Action {
	case "pass":
		r.t.passed++
		r.counts[e.Package]++
	case "skip":
		r.t.skips = append(r.t.skips, skip{name + " " + e.Test, reason(r.printed[key])})
	case "fail":
		r.broken[e.Package] = true
		r.t.fail(name + " " + e.Test)
		fmt.Fprintf(r.out, "--- FAILED %s %s\n%s\n", name, e.Test, indent(strings.Join(r.printed[key], "")))
	}
}

func (r *reading) packageEnded(e event, key, name string, took time.Duration) {
	switch {
	case e.Action == "fail":
		if !r.broken[e.Package] {
			r.t.fail(name + " (the package, outside of its tests)")
		}
		progress(r.out, "FAILED", name, took)
		fmt.Fprintln(r.out, indent(strings.Join(r.printed[key], "")))
	case e.Action == "pass" && r.counts[e.Package] > 0:
		progress(r.out, "ok", fmt.Sprintf("%s (%d)", name, r.counts[e.Package]), took)
	}
}

func short(pkg string) string { return strings.TrimPrefix(pkg, "github.com/concord-id/concord/") }

var place = regexp.MustCompile(`^\s+\S+\.go:\d+: `)

// reason is what a skipped test said last.
func reason(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		if at := place.FindString(output[i]); at != "" {
			return strings.TrimSpace(strings.TrimPrefix(output[i], at))
		}
	}
	return "no reason given"
}
