package tests

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents are the pages that people read, by their path from the root.
func documents(t *testing.T) []string {
	t.Helper()
	all := []string{"README.md"}
	err := filepath.WalkDir("../docs", func(file string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(file, ".md") {
			all = append(all, strings.TrimPrefix(filepath.ToSlash(file), "../"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fence     = regexp.MustCompile("(?ms)^```.*?^```$")
	goFile    = regexp.MustCompile("`([a-z]+/[a-z0-9_/*]+\\.go)`")
	testName  = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z][A-Za-z0-9]*_?[A-Za-z0-9_]*\b`)
	decision  = regexp.MustCompile(`docs/decisions/[a-z0-9-]+\.md`)
	makeWords = regexp.MustCompile("`make ([a-z-]+)")
	notInSlug = regexp.MustCompile(`[^a-z0-9 _-]`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range documents(t) {
		for _, found := range link.FindAllStringSubmatch(fence.ReplaceAllString(read(t, "../"+page), ""), -1) {
			target, section, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := page
			if target != "" {
				file = path.Join(path.Dir(page), target)
			}
			if _, err := os.Stat("../" + file); err != nil {
				t.Errorf("%s links to %s, which is not there", page, found[1])
				continue
			}
			if section != "" && !slices.Contains(sections(t, file), section) {
				t.Errorf("%s links to %s, and %s has no such section", page, found[1], file)
			}
		}
	}
}

// sections are the anchors of a page's headings.
func sections(t *testing.T, page string) []string {
	t.Helper()
	var all []string
	for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(read(t, "../"+page), ""), -1) {
		slug := notInSlug.ReplaceAllString(strings.ToLower(h[1]), "")
		all = append(all, strings.ReplaceAll(slug, " ", "-"))
	}
	return all
}

func TestWhatDocumentsNameIsThere(t *testing.T) {
	tests := testNames(t)
	makefile := read(t, "../Makefile")
	for _, page := range documents(t) {
		text := read(t, "../"+page)
		for _, found := range goFile.FindAllStringSubmatch(text, -1) {
			if matches, err := filepath.Glob("../" + found[1]); err != nil || len(matches) == 0 {
				t.Errorf("%s names the file %s, which is not there", page, found[1])
			}
		}
		for _, name := range testName.FindAllString(text, -1) {
			if !tests[name] {
				t.Errorf("%s names the test %s, which is not there", page, name)
			}
		}
		for _, found := range makeWords.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+found[1]+":") {
				t.Errorf("%s names `make %s`, which is not there", page, found[1])
			}
		}
	}
}

// testNames are all test and fuzz functions.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, file := range sources(t) {
		for _, found := range function.FindAllStringSubmatch(read(t, file), -1) {
			all[found[1]] = true
		}
	}
	return all
}

// sources are all Go files.
func sources(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(file, ".go") {
			all = append(all, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDecisionsThatCodeNamesAreThere(t *testing.T) {
	for _, file := range sources(t) {
		for _, name := range decision.FindAllString(read(t, file), -1) {
			if _, err := os.Stat("../" + name); err != nil {
				t.Errorf("%s names %s, which is not there", strings.TrimPrefix(file, "../"), name)
			}
		}
	}
}

func TestEveryDecisionIsInTheList(t *testing.T) {
	list := read(t, "../docs/decisions/README.md")
	pages, err := filepath.Glob("../docs/decisions/0*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	numbers := map[string]string{}
	for _, page := range pages {
		name := filepath.Base(page)
		if !strings.Contains(list, "("+name+")") {
			t.Errorf("docs/decisions/README.md does not list %s", name)
		}
		if other, taken := numbers[name[:4]]; taken {
			t.Errorf("%s and %s have one number", name, other)
		}
		numbers[name[:4]] = name
		if title, _, _ := strings.Cut(read(t, page), "\n"); !strings.HasPrefix(title, "# "+name[:4]+": ") {
			t.Errorf("%s begins with %q", name, title)
		}
		if !strings.Contains(read(t, page), "Lost: ") {
			t.Errorf("%s does not say which option lost", name)
		}
	}
}
