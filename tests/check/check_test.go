package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestGoTestLinesAreCounted(t *testing.T) {
	var out bytes.Buffer
	var seen tally
	r := &reading{t: &seen, out: &out, printed: map[string][]string{}, counts: map[string]int{}, broken: map[string]bool{}}
	for _, line := range []string{
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: needs a moon\n"}`,
		`{"Action":"skip","Package":"p","Test":"TestB"}`,
		`{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:9: got 1, want 2\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestC"}`,
		`{"Action":"fail","Package":"p"}`,
		`{"Action":"fail","Package":"q"}`,
	} {
		r.line([]byte(line))
	}
	if seen.passed != 1 || len(seen.failed) != 2 || len(seen.skips) != 1 || seen.skips[0].reason != "needs a moon" {
		t.Errorf("counted %+v", seen)
	}
	if !strings.Contains(out.String(), "got 1, want 2") {
		t.Errorf("what a failing test printed is lost: %s", out.String())
	}
}

func TestReportJudges(t *testing.T) {
	ordinary, allowed := skip{"x", "no moon"}, skip{"govulncheck", vulnUnreachable}
	for name, c := range map[string]struct {
		seen tally
		ci   bool
		want int
		last string
	}{
		"all passed":                    {tally{passed: 3}, true, 0, "3 passed, 0 failed, 0 skipped"},
		"nothing ran":                   {tally{}, false, 1, "0 passed, 0 failed, 0 skipped"},
		"one failed":                    {tally{passed: 3, failed: []string{"a"}}, false, 1, "3 passed, 1 failed, 0 skipped"},
		"a skip at home":                {tally{passed: 3, skips: []skip{ordinary}}, false, 0, "3 passed, 0 failed, 1 skipped"},
		"a skip in CI":                  {tally{passed: 3, skips: []skip{ordinary}}, true, 1, "3 passed, 0 failed, 1 skipped"},
		"the database is out of reach":  {tally{passed: 3, skips: []skip{allowed}}, true, 0, "3 passed, 0 failed, 1 skipped"},
		"another test with that reason": {tally{passed: 3, skips: []skip{allowed, ordinary}}, true, 1, "3 passed, 0 failed, 2 skipped"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if got := c.seen.report(&out, c.ci); got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; last != c.last {
				t.Errorf("last line %q, want %q", last, c.last)
			}
		})
	}
}

func TestVulncheckFindingIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		output        string
		code          int
		failure, skip bool
	}{
		"clean":       {"No vulnerabilities found.", 0, false, false},
		"unreachable": {`govulncheck: fetching vulnerabilities: Get "https://vuln.go.dev/index/modules.json.gz": dial tcp: no route`, 1, false, true},
		"a finding":   {"Vulnerability #1: GO-2026-1\n More info: https://pkg.go.dev/vuln/GO-2026-1 vuln.go.dev\nexit status 3", 1, true, false},
		"broken":      {"panic", 2, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			failure, skipped := judgeVulncheck(c.output, c.code)
			if (failure != "") != c.failure || (skipped != "") != c.skip {
				t.Errorf("failure %q, skipped %q", failure, skipped)
			}
		})
	}
}
