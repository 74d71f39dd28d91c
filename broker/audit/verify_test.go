package audit_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/concord-id/concord/broker/audit"
)

// The first break is named with file and line.
func TestAChangedTrailIsNamedByFileAndLine(t *testing.T) {
	all := history(10)
	for _, c := range []struct {
		name   string
		change func(l []string) []string
		line   string
	}{
		{"another actor", func(l []string) []string { l[4] = strings.Replace(l[4], "uid=0", "uid=9", 1); return l }, "line 5"},
		{"another time", func(l []string) []string { l[4] = strings.Replace(l[4], "12:03", "11:03", 1); return l }, "line 5"},
		{"a refusal that was none", func(l []string) []string {
			l[4] = strings.Replace(l[4], `"refused":"not_found","detail":"there is no such entry",`, "", 1)
			return l
		}, "line 5"},
		{"another head", func(l []string) []string {
			at := strings.Index(l[4], `"head":"`) + len(`"head":"`)
			l[4] = l[4][:at] + strings.Repeat("0", 64) + l[4][at+64:]
			return l
		}, "line 5"},
		{"a line taken out", func(l []string) []string { return slices.Delete(l, 4, 5) }, "line 5"},
		{"two lines swapped", func(l []string) []string { l[4], l[5] = l[5], l[4]; return l }, "line 5"},
		{"a line twice", func(l []string) []string { return slices.Insert(l, 4, l[3]) }, "line 5"},
		{"no JSON", func(l []string) []string { l[4] = "hello\n"; return l }, "line 5"},
		{"a field that nobody knows", func(l []string) []string { l[4] = strings.Replace(l[4], "{", `{"more":1,`, 1); return l }, "line 5"},
		{"two values in a line", func(l []string) []string { l[4] = strings.TrimSpace(l[4]) + " {}\n"; return l }, "line 5"},
		{"an empty line", func(l []string) []string { l[4] = "\n"; return l }, "line 5"},
		{"a zero", func(l []string) []string { l[4] = strings.Replace(l[4], " ", "\x00", 1); return l }, "line 5"},
		{"no first line", func(l []string) []string { return l[1:] }, "line 1"},
		{"a first line in the middle", func(l []string) []string { return slices.Insert(l, 4, l[0]) }, "line 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := kept(t, 0, all...)
			path := segments(t, dir)[0]
			write(t, path, strings.Join(c.change(lines(read(t, path))), ""))
			report, err := audit.VerifyDir(t.Context(), dir)
			if err != nil || !strings.Contains(report.Break, path) || !strings.Contains(report.Break, c.line+":") || report.Whole() {
				t.Errorf("%q, %v; want %s of %s", report.Break, err, c.line, path)
			}
			if _, err := audit.Open(audit.Options{Dir: dir, Log: quiet}); !errors.Is(err, audit.ErrDamaged) || !strings.Contains(err.Error(), dir) {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

func TestAMissingFileIsABreakOrAGap(t *testing.T) {
	all := history(40)
	for _, c := range []struct {
		name string
		nth  int
		gap  bool
	}{{"the oldest", 0, true}, {"one between", 2, false}} {
		t.Run(c.name, func(t *testing.T) {
			dir := kept(t, 2000, all...)
			found := segments(t, dir)
			if err := os.Remove(found[c.nth]); err != nil {
				t.Fatal(err)
			}
			trail := openSized(t, dir, 2000)
			report, err := trail.Verify(t.Context())
			if err != nil || report.Sound() || report.Whole() || (report.Break == "") != c.gap || (len(report.Gaps) == 1) != c.gap {
				t.Errorf("%+v, %v", report, err)
			}
			if !c.gap && !strings.Contains(report.Break, found[c.nth+1]) {
				t.Errorf("%q does not name %s", report.Break, found[c.nth+1])
			}
			if c.gap {
				add(t, trail, all...) // what nobody can compare is let be
			}
		})
	}
}

// What is taken away at the end while the node runs is noticed by what it remembers.
func TestAnEndThatWasTakenAwayIsABreak(t *testing.T) {
	all := history(10)
	dir := t.TempDir()
	trail := open(t, dir)
	add(t, trail, all...)
	path := segments(t, dir)[0]
	whole := lines(read(t, path))
	write(t, path, strings.Join(whole[:8], ""))
	report, err := trail.Verify(t.Context())
	if err != nil || report.Break == "" {
		t.Errorf("%+v, %v", report, err)
	}
}

// The chain is no secret: who rewrites the end can make one that holds.
func TestAnEndThatWasRewrittenIsABreak(t *testing.T) {
	all := history(10)
	dir := t.TempDir()
	trail := open(t, dir)
	add(t, trail, all...)
	path := segments(t, dir)[0]
	content := read(t, path)
	kept := strings.Join(lines(content)[:9], "") // all records but the last two
	gap := fmt.Sprintf(`{"gap":{"after":%d,"until":%d,"head":"%064x"}}`, all[7].Index, all[9].Index, 1)
	write(t, path, kept+gap+strings.Repeat(" ", len(content)-len(kept)-len(gap)-1)+"\n")
	report, err := trail.Verify(t.Context())
	if err != nil || !strings.Contains(report.Break, "the trail ends after log entry") {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestVerifyingADirectoryThatIsNotThereIsAnError(t *testing.T) {
	if _, err := audit.VerifyDir(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error")
	}
}

// Whatever stands in a file: it is a chain, or the report says where not, or
// that it is of another version; and what is a chain is the same chain when it
// is read again.
func FuzzVerify(f *testing.F) {
	dir := kept(f, 0, history(3)...)
	content := read(f, segments(f, dir)[0])
	f.Add([]byte(content))
	f.Add([]byte(strings.Replace(content, "uid=1", "uid=2", 1)))
	f.Add([]byte(content[:len(content)-5]))
	f.Add([]byte(`{"segment":{"format":"concord audit 1","after":0,"head":"` + strings.Repeat("0", 64) + `"}}` + "\n" +
		`{"gap":{"after":0,"until":5,"head":"` + strings.Repeat("a", 64) + `"}}` + "\n"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "00000000000000000000.jsonl")
		write(t, path, string(content))
		report, err := audit.VerifyDir(t.Context(), dir)
		if err != nil && !strings.Contains(err.Error(), path) || report.Break != "" && !strings.Contains(report.Break, path+" line ") {
			t.Errorf("it does not say where: %v, %q", err, report.Break)
		}
		trail, opened := audit.Open(audit.Options{Dir: dir, Log: quiet})
		if opened != nil {
			return
		}
		defer shut(t, trail)
		again, err2 := trail.Verify(t.Context())
		if err == nil && report.Break == "" && (err2 != nil || again.Break != "" || again.Head != report.Head || again.Records != report.Records) {
			t.Errorf("%+v, then %+v, %v", report, again, err2)
		}
	})
}
