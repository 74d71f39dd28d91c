package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const document = `
| XS-1 | MUST | I | 2 | exactly one URI SAN |
| XS-2 | MUST | V | 2 | more than one is refused |
| XS-3 | MUST | I | 3 | the ID has a path |

## Later

| XS-3 | federation between gateways |
`

func TestClausesAreFoundInNames(t *testing.T) {
	for name, want := range map[string][]string{
		"XS_1_OneURI":         {"XS-1"},
		"WA_12_WA_13_Answers": {"WA-12", "WA-13"},
		"ID_3_no_query":       {"ID-3"},
		"FD-26: a redirect":   {"FD-26"},
		"TB_9":                {"TB-9"},
		"XS_1x":               nil,
		"AXS_1_no":            nil,
		"nothing":             nil,
	} {
		if got := idsIn(name); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestReportFailsOnWhatIsNeitherTestedNorLater(t *testing.T) {
	for name, c := range map[string]struct {
		tests map[string][]string
		code  int
		want  string
	}{
		"all is well":        {map[string][]string{"XS-1": {"a"}, "XS-2": {"b"}}, 0, "3 clauses: 2 tested, 1 later, 0 wrong"},
		"one has no test":    {map[string][]string{"XS-1": {"a"}}, 1, "MISSING  XS-2"},
		"later, and tested":  {map[string][]string{"XS-1": {"a"}, "XS-2": {"b"}, "XS-3": {"c"}}, 1, "BOTH     XS-3"},
		"a number of no one": {map[string][]string{"XS-1": {"a"}, "XS-2": {"b"}, "XS-99": {"c"}}, 1, "UNKNOWN  XS-99"},
	} {
		t.Run(name, func(t *testing.T) {
			clauses, err := read(document)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if code := report(&out, clauses, c.tests); code != c.code || !strings.Contains(out.String(), c.want) {
				t.Errorf("exit code %d, want %d; printed\n%s", code, c.code, out.String())
			}
		})
	}
}

func TestTestsAreFoundInSources(t *testing.T) {
	dir := t.TempDir()
	source := "package p\nimport \"testing\"\nfunc TestXS_1_A(t *testing.T) { t.Run(\"XS_2 b\", nil) }\nvar table = []string{\"XS-3: c\", \"not XS-4\"}\n"
	if err := os.WriteFile(filepath.Join(dir, "p_test.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := find(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(found["XS-1"]) != 1 || len(found["XS-2"]) != 1 || len(found["XS-3"]) != 1 || len(found["XS-4"]) != 0 {
		t.Errorf("found %v", found)
	}
}

// TestEveryClauseIsTestedOrLater is `make clauses` as a test.
func TestEveryClauseIsTestedOrLater(t *testing.T) {
	var out bytes.Buffer
	code, err := run("../..", &out)
	if err != nil || code != 0 {
		for line := range strings.Lines(out.String()) {
			if !strings.HasPrefix(line, "tested") && !strings.HasPrefix(line, "later") {
				t.Error(strings.TrimSpace(line))
			}
		}
		t.Errorf("exit code %d, error %v", code, err)
	}
}
