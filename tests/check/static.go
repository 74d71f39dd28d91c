package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	staticcheckVersion = "v0.8.2"
	govulncheckVersion = "v1.1.4"
)

// staticCheck is one look at the sources. judge returns "" if all is well.
type staticCheck struct {
	name    string
	command []string
	// judge reads the output and exit code of the command; nil means that
	// exit code 0 is well.
	judge func(output string, code int) (failure, skipped string)
}

var staticChecks = []staticCheck{
	{"gofmt", []string{"gofmt", "-l", "."}, func(output string, code int) (string, string) {
		if code != 0 || strings.TrimSpace(output) != "" {
			return "these files are not formatted; run gofmt -w on them", ""
		}
		return "", ""
	}},
	{"go mod verify", []string{"go", "mod", "verify"}, nil},
	{"go vet", []string{"go", "vet", "./..."}, nil},
	{"staticcheck", []string{"go", "run", "honnef.co/go/tools/cmd/staticcheck@" + staticcheckVersion, "./..."}, nil},
	{"govulncheck", []string{"go", "run", "golang.org/x/vuln/cmd/govulncheck@" + govulncheckVersion, "./..."}, judgeVulncheck},
}

// judgeVulncheck tells a finding (exit code 3) from a database that could not
// be reached, which no machine without a way out can help.
func judgeVulncheck(output string, code int) (failure, skipped string) {
	switch {
	case code == 0:
		return "", ""
	case !strings.Contains(output, "Vulnerability #") && strings.Contains(output, "vuln.go.dev"):
		return "", vulnUnreachable
	case strings.Contains(output, "exit status 3") || code == 3:
		return "known vulnerabilities", ""
	}
	return fmt.Sprintf("exit code %d", code), ""
}

func (c staticCheck) run(ctx context.Context, t *tally, out io.Writer) {
	start := time.Now()
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	// The same settings as the build of the product: every dependency is then
	// compiled once for all of them.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath")
	output, err := cmd.CombinedOutput()
	code := 0
	if err != nil {
		code = 1
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
	}
	judge := c.judge
	if judge == nil {
		judge = func(_ string, code int) (string, string) {
			if code != 0 {
				return fmt.Sprintf("exit code %d", code), ""
			}
			return "", ""
		}
	}
	failure, skipped := judge(string(output), code)
	switch {
	case failure != "":
		t.fail(c.name + ": " + failure)
		progress(out, "FAILED", c.name, time.Since(start))
		fmt.Fprintln(out, indent(string(output)))
	case skipped != "":
		t.skips = append(t.skips, skip{c.name, skipped})
		fmt.Fprintf(out, "NOT RUN  %s\n", skipped)
	default:
		t.passed++
		progress(out, "ok", c.name, time.Since(start))
	}
}
