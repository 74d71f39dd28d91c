package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/tabwriter"
)

// A transcript is a file of testdata: command lines as an operator writes
// them, each with what it printed (errors behind a "!") and its exit code. What
// is different in every run is masked: <time>, <span>, <index>, and things with
// an identity by number, such as <id-1>; a command line may use the latter
// again. "go test ./cmd/concord -run /Transcripts -update" writes what is
// printed now; the difference is for a person to look at.
var update = flag.Bool("update", false, "write the transcripts anew")

func (w *world) transcripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := w.play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("%s is not what is printed now:\n%s", file, difference(string(text), got))
			}
		})
	}
}

// play runs the command lines of a transcript and returns it as it is now.
func (w *world) play(t *testing.T, text string) string {
	m := w.newMask()
	var out strings.Builder
	for line := range strings.Lines(text) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case isCommand:
			out.WriteString(line)
			out.WriteString(w.perform(t, m, strings.TrimSuffix(command, "\n")))
		case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "" && !strings.HasSuffix(out.String(), "\n\n"):
			out.WriteString(line)
		}
	}
	return out.String()
}

// perform runs one line: commands with | between them, and > and a file at its end.
func (w *world) perform(t *testing.T, m *mask, line string) string {
	line, file, toFile := strings.Cut(line, " > ")
	var last ran
	for part := range strings.SplitSeq(line, " | ") {
		words, err := shellWords(part)
		if err != nil || len(words) == 0 || words[0] != "concord" {
			t.Fatalf("%q: %v", line, err)
		}
		for i := range words {
			words[i] = m.unmask(t, words[i])
		}
		last = concord(t.Context(), last.out, words[1:]...)
		checkAlignment(t, line, last.out)
		checkMembers(t, line, last.out)
		if strings.Contains(last.out+last.err, "PRIVATE KEY") {
			t.Errorf("%s: a private key was printed", line)
		}
	}
	if toFile {
		if err := os.WriteFile(m.unmask(t, file), []byte(last.out), 0o600); err != nil {
			t.Fatal(err)
		}
		last.out = ""
	}
	var out strings.Builder
	out.WriteString(align(m.mask(last.out)))
	for line := range strings.Lines(m.mask(last.err)) {
		out.WriteString("! " + line)
	}
	if text := out.String(); text != "" && !strings.HasSuffix(text, "\n") {
		out.WriteString("\n")
	}
	fmt.Fprintf(&out, "[%d]\n", last.code)
	return out.String()
}

// gap is what is between two columns; cells have no two spaces in them.
var gap = regexp.MustCompile(`(\S) {2,}(\S)`)

// align sets a table anew, as its columns are wide now.
func align(text string) string {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	for line := range strings.Lines(text) {
		if inner := strings.TrimSpace(line); inner != "" && !strings.ContainsAny(inner[:1], `{}[]"`) {
			line = gap.ReplaceAllString(line, "$1\t$2")
			line = gap.ReplaceAllString(line, "$1\t$2") // cells of one character
		}
		fmt.Fprint(w, line)
	}
	w.Flush()
	return out.String()
}

func checkAlignment(t *testing.T, command, text string) {
	t.Helper()
	if strings.HasPrefix(strings.TrimSpace(text), "{") || strings.Contains(command, "__complete") || strings.Contains(command, "help") || strings.Contains(command, "completion") {
		return
	}
	if again := align(text); again != text {
		t.Errorf("%s: its columns are not aligned:\n%s\nwant:\n%s", command, text, again)
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); line != strings.TrimRight(line, " \t") {
			t.Errorf("%s: a line ends in spaces: %q", command, line)
		}
	}
}

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// checkMembers reports members of a JSON answer whose names are not snake_case,
// but for those that are data: of a bundle's own document and of claims.
func checkMembers(t *testing.T, command, text string) {
	t.Helper()
	var answer any
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &answer) != nil {
		return
	}
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for name, member := range v {
				if !snakeCase.MatchString(name) {
					t.Errorf("%s -o json: the member %q is not snake_case", command, name)
				}
				if name != "document" && name != "claims" {
					walk(member)
				}
			}
		}
	}
	walk(answer)
}

// shellWords splits a line as a shell does that knows only blanks and quotes.
// The redirections of examples end it.
func shellWords(line string) (words []string, err error) {
	var word strings.Builder
	quote, inWord := rune(0), false
	end := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\n' || r == '\t':
			end()
		case r == '|' || r == '>' && !inWord || r == ')':
			end()
			return words, nil
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	end()
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	return words, nil
}

// difference shows the lines around the first that differs.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	from := max(0, i-6)
	show := func(lines []string) string {
		return strings.Join(lines[min(from, len(lines)):min(i+10, len(lines))], "\n")
	}
	return fmt.Sprintf("line %d\n--- the file\n%s\n--- now\n%s", i+1, show(a), show(b))
}
