// Command fuzz runs every fuzz target of the repository for a while, one after
// another, and says for each how it went. It exits 1 if one found something; Go
// then has written the input below the package's testdata.
package main

import (
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	each := flag.Duration("t", 30*time.Second, "how long each target runs")
	only := flag.String("run", "", "only targets whose package/name matches this expression")
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx, os.Stdout, *root, *only, *each)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// target is a fuzz target.
type target struct{ pkg, name string }

func (t target) String() string { return t.pkg + "." + t.name }

// targets finds the fuzz targets below root, sorted.
func targets(root string) ([]target, error) {
	var found []target
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
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
		for _, declared := range file.Decls {
			if f, ok := declared.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
				found = append(found, target{filepath.ToSlash(pkg), f.Name.Name})
			}
		}
		return nil
	})
	slices.SortFunc(found, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	return found, err
}

func run(ctx context.Context, out io.Writer, root, only string, each time.Duration) (failed int, err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return 0, fmt.Errorf("-run: %w", err)
	}
	all, err := targets(root)
	if err != nil {
		return 0, err
	}
	ran := 0
	for _, t := range all {
		if !wanted.MatchString(t.String()) || ctx.Err() != nil {
			continue
		}
		ran++
		if !one(ctx, out, root, t, each) {
			failed++
		}
	}
	if ran == 0 {
		return 0, fmt.Errorf("no target matches %q", only)
	}
	fmt.Fprintf(out, "%d targets, %d found something\n", ran, failed)
	return failed, ctx.Err()
}

var executions = regexp.MustCompile(`execs: (\d+)`)

// one runs a target and reports whether it found nothing.
func one(ctx context.Context, out io.Writer, root string, t target, each time.Duration) bool {
	cmd := exec.CommandContext(ctx, "go", "test", "./"+t.pkg, "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", each.String())
	cmd.Dir = root
	text, err := cmd.CombinedOutput()
	count := "no"
	if all := executions.FindAllSubmatch(text, -1); len(all) > 0 {
		count = string(all[len(all)-1][1])
	}
	if err == nil {
		fmt.Fprintf(out, "ok      %-46s %s executions\n", t, count)
		return true
	}
	fmt.Fprintf(out, "FAILED  %s\n%s\n", t, text)
	return false
}
