// Command clauses holds docs/conformance.md against the tests: each clause of
// the SPIFFE specifications is tested, by a test that carries its number in its
// name, or is listed as later, with the reason. It exits 1 on one that is
// neither, and on one that is both.
package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	code, err := run(*root, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "clauses:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// clause is one line of docs/conformance.md.
type clause struct {
	id, requirement string
	later           string // why it is not tested yet; "" if it has to be
}

func run(root string, out io.Writer) (int, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "conformance.md"))
	if err != nil {
		return 1, err
	}
	clauses, err := read(string(text))
	if err != nil {
		return 1, err
	}
	tests, err := find(root)
	if err != nil {
		return 1, err
	}
	return report(out, clauses, tests), nil
}

var (
	described = regexp.MustCompile(`^\| ((?:ID|XS|JS|TB|FD|WA|WE)-\d+) \| [^|]* \| [^|]* \| [^|]* \| (.*) \|$`)
	postponed = regexp.MustCompile(`^\| ((?:ID|XS|JS|TB|FD|WA|WE)-\d+) \| ([^|]+) \|$`)
)

// read returns the clauses of the document, in its order.
func read(text string) ([]clause, error) {
	var all []clause
	place := map[string]int{}
	for number, line := range strings.Split(text, "\n") {
		if m := described.FindStringSubmatch(line); m != nil {
			if _, twice := place[m[1]]; twice {
				return nil, fmt.Errorf("docs/conformance.md:%d: %s is there twice", number+1, m[1])
			}
			place[m[1]] = len(all)
			all = append(all, clause{id: m[1], requirement: m[2]})
		} else if m := postponed.FindStringSubmatch(line); m != nil {
			i, known := place[m[1]]
			if !known {
				return nil, fmt.Errorf("docs/conformance.md:%d: %s is later, but no clause", number+1, m[1])
			}
			all[i].later = strings.TrimSpace(m[2])
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("docs/conformance.md has no clauses: the table's form changed")
	}
	return all, nil
}

// self is where this command's own tests are: they speak of clauses that are none.
const self = "tests/clauses"

// find returns the tests of each clause, by its number.
func find(root string) (map[string][]string, error) {
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."), path == filepath.Join(root, self):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		inFile(file, pkg, found)
		return nil
	})
	return found, err
}

// inFile notes the clauses in the names of a file's tests, and in the names of
// subtests and of the rows of tables: string literals that begin with a clause.
func inFile(file *ast.File, pkg string, found map[string][]string) {
	note := func(name string, ids []string) {
		for _, id := range ids {
			found[id] = append(found[id], pkg+"."+name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if name, ok := strings.CutPrefix(n.Name.Name, "Test"); ok {
				note(n.Name.Name, idsIn(name))
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				note(shorten(text), idsIn(text))
			}
		}
		return true
	})
}

var leading = regexp.MustCompile(`^(ID|XS|JS|TB|FD|WA|WE)[_-](\d+)(?:[_ ,:]+|$)`)

// idsIn returns the clauses that a name begins with: WA_12_WA_13_OneSVID.
func idsIn(name string) []string {
	var ids []string
	for {
		m := leading.FindStringSubmatch(name)
		if m == nil {
			return ids
		}
		ids = append(ids, m[1]+"-"+m[2])
		name = name[len(m[0]):]
	}
}

func shorten(text string) string {
	if r := []rune(text); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return text
}

// report prints every clause, and returns the exit code.
func report(out io.Writer, clauses []clause, tests map[string][]string) int {
	tested, later, wrong := 0, 0, 0
	for _, c := range clauses {
		names := slices.Compact(slices.Sorted(slices.Values(tests[c.id])))
		delete(tests, c.id)
		switch {
		case len(names) > 0 && c.later != "":
			wrong++
			fmt.Fprintf(out, "BOTH     %-6s is listed as later (%s), and tested by %s: take it off the list\n", c.id, c.later, names[0])
		case len(names) > 0:
			tested++
			fmt.Fprintf(out, "tested   %-6s %s\n", c.id, strings.Join(names, ", "))
		case c.later != "":
			later++
			fmt.Fprintf(out, "later    %-6s %s\n", c.id, c.later)
		default:
			wrong++
			fmt.Fprintf(out, "MISSING  %-6s %s\n", c.id, c.requirement)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(tests)) {
		wrong++
		fmt.Fprintf(out, "UNKNOWN  %-6s is no clause, but %s carries it\n", id, tests[id][0])
	}
	fmt.Fprintf(out, "%d clauses: %d tested, %d later, %d wrong\n", len(clauses), tested, later, wrong)
	if wrong > 0 {
		return 1
	}
	return 0
}
