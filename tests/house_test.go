package tests

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/concord-id/concord/"

// words are the packages without goroutine, I/O, clock or logger; a machine
// may import all of them.
var words = []string{"policy", "attest", "federation", "ca", "workload", "broker"}

// house says what each package may import of ours. "words" stands for all of
// them; a name that ends in "/" for every package below it.
var house = map[string][]string{
	"policy":     {},
	"attest":     {},
	"federation": {"policy"},
	"ca":         {},
	"workload":   {"attest"},
	"broker":     {},

	"broker/state":        {"words"},
	"broker/replica":      {"words", "broker/state", "broker/feed"},
	"broker/feed":         {"broker/state"},
	"broker/audit":        {"words", "broker/state"},
	"broker/registrar":    {"words", "broker/state"},
	"broker/spireapi":     {"words", "broker/registrar"},
	"broker/admin":        {"words", "broker/registrar", "broker/admin/client", "docs/api"},
	"broker/admin/client": {},

	"ca/keys":   {"ca"},
	"ca/issue":  {"ca"},
	"ca/rotate": {"ca"},

	"attest/process/unix": {"attest"},

	"federation/fetch":    {"federation"},
	"federation/endpoint": {"federation"},

	"workload/grant": {"words"},
	"workload/api":   {"words", "workload/grant"},

	"broker/node": {"words", "broker/", "ca/", "attest/", "federation/", "workload/"},

	"cmd/concord": {"words", "broker/node", "broker/admin/client"},

	"docs/api":            {},
	"tests/bench":         {"words", "broker/admin/client", "broker/node", "broker/state", "ca/", "federation/fetch"},
	"tests/check":         {"tests/fault/wire"},
	"tests/clauses":       {},
	"tests/demo":          {"broker/admin/client"},
	"tests/demo/workload": {},
	"tests/fuzz":          {},
	"tests/planted":       {},
}

// machine packages of ours that see the clock, the network or a logger.
var forbiddenInWords = []string{"log", "log/slog", "net", "net/http", "os", "os/exec", "sync", "math/rand", "math/rand/v2"}

func TestImportsGoDownOnly(t *testing.T) {
	for pkg, files := range packages(t) {
		allowed, known := house[pkg]
		if !known {
			if strings.HasPrefix(pkg, "tests") {
				continue
			}
			t.Errorf("%s is not in the house: give it a line in this table, or another place", pkg)
			continue
		}
		for file, imports := range files {
			for _, imported := range imports {
				ours, ok := strings.CutPrefix(imported, module)
				if ok && !mayImport(allowed, pkg, ours) {
					t.Errorf("%s imports %s, which %s may not (DESIGN: imports go down only)", file, ours, pkg)
				}
			}
		}
	}
}

func TestWordsHaveNoMachines(t *testing.T) {
	all := packages(t)
	for _, pkg := range append(slices.Clone(words), "broker/state") {
		for file, imports := range all[pkg] {
			for _, imported := range imports {
				if slices.Contains(forbiddenInWords, imported) && !(pkg == "broker/state" && imported == "sync") {
					t.Errorf("%s imports %q: %s is words and pure functions", file, imported, pkg)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	for pkg, files := range packages(t) {
		documented := 0
		for file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Doc != nil && len(parsed.Doc.Text()) > 20 {
				documented++
			}
		}
		if documented != 1 {
			t.Errorf("%s has %d package docs, want exactly one", pkg, documented)
		}
	}
}

// mayImport reports whether a package with these rules may import ours.
func mayImport(allowed []string, pkg, ours string) bool {
	for _, rule := range allowed {
		switch {
		case rule == "words" && slices.Contains(words, ours),
			rule == ours,
			strings.HasSuffix(rule, "/") && strings.HasPrefix(ours, rule):
			return true
		}
	}
	// A command's or a test driver's own inner packages are its own business.
	return strings.HasPrefix(ours, pkg+"/internal/")
}

// packages returns the imports of every non-test file, by package and file.
func packages(t *testing.T) map[string]map[string][]string {
	t.Helper()
	found := map[string]map[string][]string{}
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && file != ".." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "planted" || name == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel("..", file)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(inside))
		if found[pkg] == nil {
			found[pkg] = map[string][]string{}
		}
		var imports []string
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, imported)
		}
		found[pkg][inside] = imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 5 {
		t.Fatalf("found only %d packages from %s: the walk is wrong", len(found), must(os.Getwd()))
	}
	return found
}

func must[T any](v T, _ error) T { return v }
