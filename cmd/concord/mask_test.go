package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// mask puts names in the place of what is different in every run.
type mask struct {
	fixed  []string          // pairs: what, and its name
	names  map[string]string // what has an identity → <kind-N>
	counts map[string]int
}

// things are what is masked. Those with a kind have an identity.
var things = []struct {
	kind, name string
	pattern    *regexp.Regexp
}{
	{"", "<pem>", regexp.MustCompile(`-----BEGIN [A-Z ]+-----[\s\S]*?-----END [A-Z ]+-----`)},
	{"", "<token>", regexp.MustCompile(`\beyJ[\w-]+\.[\w-]+\.[\w-]+`)},
	{"", "<time>", regexp.MustCompile(`\b2\d{3}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)},
	{"uuid", "", regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)},
	{"", "<hash>", regexp.MustCompile(`\b[0-9a-f]{64}\b`)},
	{"id", "", regexp.MustCompile(`\b[0-9a-f]{40}\b`)},
	{"", "<size>, sha256 <hash>", regexp.MustCompile(`\b\d+ bytes, sha256 [0-9a-f]{16}\b`)},
	{"", "observed as <selectors>", regexp.MustCompile(`observed as .*`)},
	{"", "<n> records", regexp.MustCompile(`\b\d+ records`)},
	{"", "<n>, <n> with a change", regexp.MustCompile(`\b\d+, \d+ with a change`)},
	{"", `"$1": <n>`, regexp.MustCompile(`"(polls|changes|bytes)": \d+`)},
	{"", "<request>", regexp.MustCompile(`\b[A-Z2-7]{26}\b(\.[\w-]+)?`)},
	{"", "uid=<uid>,gid=<gid>,pid=<pid>", regexp.MustCompile(`uid=\d+,gid=\d+,pid=\d+`)},
	{"", "<span>", regexp.MustCompile(`\b(\d+ d|\d+ h( \d+ min)?|\d+ min( \d+ s)?|\d+ m?s)\b`)},
	{"", "<sequence>", regexp.MustCompile(`\b1[789]\d{8}\b`)},
	{"", `"$1": "<span>"`, regexp.MustCompile(`"(age|staleness)": "[^"]+"`)},
	{"", `"$1": <index>`, regexp.MustCompile(`"(index)": \d+`)},
	{"", "<index>$1", regexp.MustCompile(`(?m)^\d+(  +<time>)`)},
	{"", "index <index>", regexp.MustCompile(`\bindex \d+`)},
	{"", "127.0.0.1:<port>", regexp.MustCompile(`127\.0\.0\.1:\d{4,5}\b`)},
	{"", "go<version>", regexp.MustCompile(`\bgo1\.[\w.-]+`)},
}

func (m *mask) mask(text string) string {
	text = strings.NewReplacer(m.fixed...).Replace(text)
	for _, thing := range things {
		if thing.kind == "" {
			text = thing.pattern.ReplaceAllString(text, thing.name)
			continue
		}
		text = thing.pattern.ReplaceAllStringFunc(text, func(found string) string {
			if m.names[found] == "" {
				m.counts[thing.kind]++
				m.names[found] = fmt.Sprintf("<%s-%d>", thing.kind, m.counts[thing.kind])
			}
			return m.names[found]
		})
	}
	return text
}

var masked = regexp.MustCompile(`<[a-z]+(-\d+)?>`)

// unmask puts the things back into a command line.
func (m *mask) unmask(t *testing.T, word string) string {
	t.Helper()
	return masked.ReplaceAllStringFunc(word, func(name string) string {
		for i := 0; i+1 < len(m.fixed); i += 2 {
			if m.fixed[i+1] == name {
				return m.fixed[i]
			}
		}
		for what, known := range m.names {
			if known == name {
				return what
			}
		}
		t.Fatalf("%s was not printed before it is used", name)
		return ""
	})
}
