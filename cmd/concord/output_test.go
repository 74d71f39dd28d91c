package main

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/concord-id/concord/broker/admin/client"
)

func TestWhatATerminalWouldObeyIsWrittenOut(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "-",
		" \t\n ":                         "-",
		"plain":                          "plain",
		"größer → ok":                    "größer → ok",
		"two  blanks\nand a line":        "two blanks and a line",
		"\x1b[2Jcleared":                 `\x1b[2Jcleared`,
		"a\rb":                           `a\rb`,
		"right\u202eto left":             `right\u202eto left`,
		"not \xff UTF-8":                 "not � UTF-8",
		"tab\tin a cell":                 `tab\tin a cell`,
		"a\u0085b of a C1 set":           `a\u0085b of a C1 set`,
		"\x1b]0;title\x07 of the window": `\x1b]0;title\a of the window`,
	} {
		if got := cell(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestDurationsAreReadable(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                             "0 ms",
		999 * time.Millisecond:        "999 ms",
		59 * time.Second:              "59 s",
		time.Minute:                   "1 min",
		61 * time.Second:              "1 min 1 s",
		time.Hour:                     "1 h",
		26*time.Hour + 30*time.Minute: "26 h 30 min",
		90 * 24 * time.Hour:           "90 d",
	} {
		if got := span(d); got != want {
			t.Errorf("%s is shown as %q, want %q", d, got, want)
		}
	}
}

func TestADifferenceIsShownByFields(t *testing.T) {
	var out strings.Builder
	printOutcome(&out, "update", "x", client.Outcome[client.Entry]{
		Before: &client.Entry{ID: "e", Selectors: []string{"a:1"}, Hint: "old", DNSNames: []string{"gone.example"}},
		After:  &client.Entry{ID: "e", Selectors: []string{"a:1", "b:2"}, Hint: "new", Admin: true},
		DryRun: true,
	})
	want := "Dry run: would update x; nothing was changed.\n" +
		"  + admin\ttrue\n  - dns_names\tgone.example\n  ~ hint\told → new\n  ~ selectors\ta:1 → a:1, b:2\n"
	if out.String() != want {
		t.Errorf("it prints\n%s\nwant\n%s", out.String(), want)
	}
}

func TestTheNearestNameIsNamed(t *testing.T) {
	names := []string{"list", "show", "update", "delete", "activate"}
	for name, want := range map[string]string{
		"lst": `did you mean "list"?`, "ls": `did you mean "list"?`, "activ": `did you mean "activate"?`, "updaet": `did you mean "update"?`,
		"frobnicate": "there are list, show, update, delete, activate",
	} {
		if got := suggestion(name, names); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := suggestion("fly", []string{"run"}); got != "there is only run" {
		t.Errorf("of one: %s", got)
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[2J\u202e\xff\t\n  a")
	f.Fuzz(func(t *testing.T, text string) {
		shown := printable(text)
		for _, r := range shown {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%q is shown with %U in it: %q", text, r, shown)
			}
		}
		if again := printable(shown); again != shown {
			t.Errorf("%q becomes %q, and that %q", text, shown, again)
		}
		if c := cell(text); c == "" || strings.ContainsAny(c, "\t\n") || strings.Contains(c, "  ") {
			t.Errorf("%q in a table is %q", text, c)
		}
	})
}
