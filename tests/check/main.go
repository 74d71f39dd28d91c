// Command check is what `make test` runs: formatting, vet, staticcheck,
// known vulnerabilities and every test under the race detector. Its last line
// is "N passed, 0 failed, M skipped"; it exits 1 if anything failed, or if
// anything was skipped in CI for a reason that is not allowed there.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/concord-id/concord/tests/fault/wire"
)

// vulnUnreachable is a reason for which CI may skip something.
const vulnUnreachable = "govulncheck: database unreachable"

// mayBeMissing are all such reasons: what a machine may not have, and no package gives it.
var mayBeMissing = []string{vulnUnreachable, wire.ErrNotAllowed.Error()}

// tally is what was seen so far.
type tally struct {
	passed int
	failed []string
	skips  []skip
}

type skip struct{ name, reason string }

func (t *tally) fail(name string) { t.failed = append(t.failed, name) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout))
}

func run(ctx context.Context, args []string, out io.Writer) int {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	only := flags.String("run", "", "run only tests that match, as go test -run does; skips the static checks")
	count := flags.Int("count", 1, "how often each test runs")
	if flags.Parse(args) != nil {
		return 2
	}
	packages := flags.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}

	var t tally
	if *only == "" {
		for _, c := range staticChecks {
			c.run(ctx, &t, out)
		}
	}
	goTest(ctx, &t, out, *only, *count, packages)
	return t.report(out, os.Getenv("CI") == "true")
}

// report prints what failed and what was skipped, and returns the exit code.
func (t *tally) report(out io.Writer, ci bool) int {
	for _, name := range t.failed {
		fmt.Fprintf(out, "FAILED   %s\n", name)
	}
	code := 0
	for _, s := range t.skips {
		fmt.Fprintf(out, "skipped  %s: %s\n", s.name, s.reason)
		if ci && !slices.Contains(mayBeMissing, s.reason) {
			fmt.Fprintf(out, "         CI has what this test needs: the skip counts as a failure\n")
			code = 1
		}
	}
	if len(t.failed) > 0 || t.passed == 0 {
		code = 1
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", t.passed, len(t.failed), len(t.skips))
	return code
}

// progress prints one aligned line for a finished step.
func progress(out io.Writer, verdict, name string, took time.Duration) {
	fmt.Fprintf(out, "%-8s %-58s %6.1fs\n", verdict, name, took.Seconds())
}

// indent makes somebody else's output stand apart from ours.
func indent(text string) string {
	text = strings.TrimRight(text, "\n")
	return "    " + strings.ReplaceAll(text, "\n", "\n    ")
}
