package attest_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/concord-id/concord/attest"
)

func TestParseSelector(t *testing.T) {
	for text, want := range map[string]attest.Selector{
		"unix:uid:1000":                  {Type: "unix", Value: "uid:1000"},
		"concord:node":                   {Type: "concord", Value: "node"},
		"unix:path:/a b":                 {Type: "unix", Value: "path:/a b"},
		"t::":                            {Type: "t", Value: ":"},
		"t:" + strings.Repeat("v", 2047): {Type: "t", Value: strings.Repeat("v", 2047)},
	} {
		got, err := attest.ParseSelector(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%.40q: %+v, %v", text, got, err)
		}
	}
}

func TestParseSelectorRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"":                               "no colon",
		"unix":                           "no colon",
		":uid:0":                         "no type",
		"unix:":                          "no value",
		"unix:path:\xff":                 "not UTF-8",
		"\xff:0":                         "not UTF-8",
		"t:" + strings.Repeat("v", 2048): "2049 bytes, the most is 2048",
	} {
		_, err := attest.ParseSelector(text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: error %v, want one that says %q", text, err, says)
		}
	}
}

func TestSelectorTypeHoldsNoColon(t *testing.T) {
	if err := (attest.Selector{Type: "a:b", Value: "c"}).Validate(); err == nil {
		t.Error("type a:b is valid")
	}
}

func FuzzParseSelector(f *testing.F) {
	f.Add("unix:uid:1000")
	f.Add("t::")
	f.Add(":")
	f.Add("a\xff:b")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := attest.ParseSelector(text)
		if err != nil {
			if len(err.Error()) > 600 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if s.String() != text || s.Validate() != nil {
			t.Errorf("%q is read as %q", text, s)
		}
	})
}

// selectors draws from few, so that sets overlap.
var selectors = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) attest.Selector {
	return attest.Selector{
		Type:  rapid.SampledFrom([]string{"a", "b"}).Draw(t, "type"),
		Value: rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "value"),
	}
}), 0, 8)

func TestSortedSelectorsAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given := selectors.Draw(t, "given")
		before := slices.Clone(given)
		sorted := attest.Sort(given)
		if !slices.Equal(given, before) {
			t.Error("the argument changed")
		}
		for i, s := range sorted {
			if !slices.Contains(given, s) || i > 0 && sorted[i-1].Compare(s) >= 0 {
				t.Errorf("sorted %v", sorted)
			}
		}
		for _, s := range given {
			if !slices.Contains(sorted, s) {
				t.Errorf("%v is lost", s)
			}
		}
	})
}

func TestSubsetHoldsEachWantedSelector(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, have := attest.Sort(selectors.Draw(t, "want")), attest.Sort(selectors.Draw(t, "have"))
		all := len(want) > 0
		for _, s := range want {
			all = all && slices.Contains(have, s)
		}
		if got := attest.Subset(want, have); got != all {
			t.Errorf("Subset(%v, %v) = %v", want, have, got)
		}
	})
}

func TestNoSelectorsMeanNobody(t *testing.T) {
	if attest.Subset(nil, []attest.Selector{{Type: "a", Value: "1"}}) || attest.Subset(nil, nil) {
		t.Error("an entry without selectors matches")
	}
}
