// Command planted puts known bugs into the code, one at a time and never on
// disk, and runs the test that has to notice. It exits 1 if a test passes with
// its bug in place: a test that cannot fail is worth nothing.
//
// Each file below bugs is one of them: what it is, where, which test notices,
// and the text that is replaced.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	root := flag.String("root", ".", "the repository")
	only := flag.String("run", "", "only bugs whose name matches this expression")
	show := flag.Bool("v", false, "show what the test says of each bug, to see that it notices for the right reason")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	missed, err := run(ctx, os.Stdout, *root, *only, *show)
	if err != nil {
		fmt.Fprintln(os.Stderr, "planted:", err)
		os.Exit(1)
	}
	if missed > 0 {
		os.Exit(1)
	}
}

// bug is one file of bugs.
type bug struct {
	name    string
	what    string // in a sentence
	file    string // that is changed
	pkg     string // whose test notices: ./broker/state
	test    string // go test -run
	old     string // occurs once in file
	replace string
}

// read parses a bug:
//
//	the sequence is not raised
//	file: broker/state/publication.go
//	test: ./broker/state TestSequence
//	--- old
//	...
//	--- new
//	...
func read(name, text string) (bug, error) {
	b := bug{name: name}
	head, rest, ok := strings.Cut(text, "\n--- old\n")
	if !ok {
		return b, fmt.Errorf("%s: there is no line \"--- old\"", name)
	}
	if b.old, b.replace, ok = strings.Cut(rest, "\n--- new\n"); !ok {
		return b, fmt.Errorf("%s: there is no line \"--- new\"", name)
	}
	b.replace = strings.TrimSuffix(b.replace, "\n")
	for number, line := range strings.Split(head, "\n") {
		key, value, _ := strings.Cut(line, ": ")
		switch {
		case number == 0:
			b.what = line
		case key == "file":
			b.file = value
		case key == "test":
			b.pkg, b.test, _ = strings.Cut(value, " ")
		default:
			return b, fmt.Errorf("%s:%d: %q says neither file nor test", name, number+1, line)
		}
	}
	if b.what == "" || b.file == "" || b.pkg == "" || b.test == "" {
		return b, fmt.Errorf("%s: a sentence, a line with file and one with test are needed", name)
	}
	return b, nil
}

// plant returns the changed text of b's file.
func (b bug) plant(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, b.file))
	if err != nil {
		return "", fmt.Errorf("%s: %w", b.name, err)
	}
	if n := strings.Count(string(text), b.old); n != 1 {
		return "", fmt.Errorf("%s: its old text is %d times in %s, want once: the code moved on, so mend the bug", b.name, n, b.file)
	}
	return strings.Replace(string(text), b.old, b.replace, 1), nil
}

// bugs reads all of them.
func bugs(root string) ([]bug, error) {
	files, err := filepath.Glob(filepath.Join(root, "tests", "planted", "bugs", "*.txt"))
	if err != nil {
		return nil, err
	}
	var all []bug
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		b, err := read(strings.TrimSuffix(filepath.Base(file), ".txt"), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

func run(ctx context.Context, out io.Writer, root, only string, show bool) (missed int, err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return 0, fmt.Errorf("-run: %w", err)
	}
	all, err := bugs(root)
	if err != nil {
		return 0, err
	}
	ran := 0
	for _, b := range all {
		if !wanted.MatchString(b.name) {
			continue
		}
		ran++
		begun := time.Now()
		verdict, detail, err := b.try(ctx, root)
		if err != nil {
			return missed, err
		}
		fmt.Fprintf(out, "%-8s %-40s %5.1fs  %s\n", verdict, b.name, time.Since(begun).Seconds(), b.what)
		if verdict != caught {
			missed++
		}
		if verdict != caught || show {
			fmt.Fprintln(out, detail)
		}
	}
	if ran == 0 {
		return 0, fmt.Errorf("no bug matches %q", only)
	}
	fmt.Fprintf(out, "%d planted, %d caught, %d missed\n", ran, ran-missed, missed)
	return missed, nil
}

// The verdicts.
const (
	caught = "caught"
	notAt  = "MISSED" // the test passes with the bug
	broken = "BROKEN" // it does not build, or no test ran: that shows nothing
)

// try runs b's test with b in place; detail is what it printed.
func (b bug) try(ctx context.Context, root string) (verdict, detail string, err error) {
	changed, err := b.plant(root)
	if err != nil {
		return "", "", err
	}
	dir, err := os.MkdirTemp("", "planted")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(dir)
	overlay, err := b.overlay(root, dir, changed)
	if err != nil {
		return "", "", err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "3m", "-run", b.test, "-v", b.pkg)
	// By the environment, so that programs which the test builds have the bug too.
	cmd.Dir, cmd.Env = root, append(os.Environ(), "GOFLAGS=-overlay="+overlay)
	text, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", "", ctx.Err()
	}
	switch output := string(text); {
	case strings.Contains(output, "[build failed]") || strings.Contains(output, "[setup failed]") || !strings.Contains(output, "=== RUN"):
		return broken, output, nil
	case err == nil:
		return notAt, output, nil
	}
	return caught, string(text), nil
}

// overlay writes the changed file, and the description that go test reads.
func (b bug) overlay(root, dir, changed string) (string, error) {
	original, err := filepath.Abs(filepath.Join(root, b.file))
	if err != nil {
		return "", err
	}
	file, description := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]map[string]string{"Replace": {original: file}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		return "", err
	}
	return description, os.WriteFile(description, text, 0o600)
}
