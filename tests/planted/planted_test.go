package main

import (
	"bytes"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryBugCanStillBePlanted keeps the bugs in step with the code; make
// planted runs them.
func TestEveryBugCanStillBePlanted(t *testing.T) {
	all, err := bugs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there are no bugs to plant")
	}
	for _, b := range all {
		changed, err := b.plant("../..")
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := format.Source([]byte(changed)); err != nil {
			t.Errorf("%s: the changed file is not Go: %v", b.name, err)
		}
		if !hasTest(t, b) {
			t.Errorf("%s: %s has no test %s", b.name, b.pkg, b.test)
		}
	}
}

// hasTest reports whether the package of b declares the test that it names.
func hasTest(t *testing.T, b bug) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", b.pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`func ` + regexp.QuoteMeta(strings.Trim(strings.Split(b.test, "/")[0], "^$")) + `\(`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if name.Match(text) {
			return true
		}
	}
	return false
}

// world is a module with one function, its test, and one bug.
func world(t *testing.T, replacement string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                     "module p\ngo 1.26\n",
		"p.go":                       "package p\n\nfunc One() int { return 1 }\n",
		"p_test.go":                  "package p\nimport \"testing\"\nfunc TestOne(t *testing.T) { if One() != 1 { t.Fatal() } }\n",
		"tests/planted/bugs/one.txt": "one is another number\nfile: p.go\ntest: . TestOne\n--- old\nreturn 1\n--- new\n" + replacement + "\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		replacement, want string
		missed            int
	}{
		"a bug that the test sees":  {"return 2", "1 planted, 1 caught, 0 missed", 0},
		"a bug that no test sees":   {"return 2 - 1", "MISSED", 1},
		"a bug that does not build": {"return x", "BROKEN", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			missed, err := run(t.Context(), &out, world(t, c.replacement), "", false)
			if err != nil || missed != c.missed || !strings.Contains(out.String(), c.want) {
				t.Errorf("missed %d, error %v, printed\n%s", missed, err, out.String())
			}
		})
	}
}
