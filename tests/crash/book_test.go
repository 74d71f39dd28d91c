package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/concord-id/concord/broker/admin/client"
)

func TestTheBookNoticesWhatMustNotBe(t *testing.T) {
	one := chain{step{"a": "2"}}
	two := chain{step{"b": "1"}, step{"r": "1"}} // a bundle, then its relationship
	both := chain{step{"a": "", "d": "1"}}       // in one command
	for _, c := range []struct {
		name  string
		open  []chain
		found map[string]string
		begun int
		wrong []string
	}{
		{"all there", nil, map[string]string{"a": "1", "c": "1"}, 0, nil},
		{"one lost", nil, map[string]string{"c": "1"}, 0, []string{"a was acknowledged and is gone: 1"}},
		{"an older one", nil, map[string]string{"a": "0", "c": "1"}, 0, []string{"a was acknowledged as 1 and is 0"}},
		{"a refused one", nil, map[string]string{"a": "1", "c": "1", "x": "1"}, 0, []string{"x is there, and was deleted, refused or never asked for: 1"}},

		{"not answered, not done", []chain{one}, map[string]string{"a": "1", "c": "1"}, 0, nil},
		{"not answered, done", []chain{one}, map[string]string{"a": "2", "c": "1"}, 1, nil},
		{"not answered, something else done", []chain{one}, map[string]string{"a": "3", "c": "1"}, 0, []string{"is there in part", "a was acknowledged as 1 and is 3"}},
		{"the first of two steps", []chain{two}, map[string]string{"a": "1", "b": "1", "c": "1"}, 1, nil},
		{"the second of two steps alone", []chain{two}, map[string]string{"a": "1", "r": "1", "c": "1"}, 0, []string{"is there in part", "r is there"}},
		{"half of a command", []chain{both}, map[string]string{"a": "1", "c": "1", "d": "1"}, 0, []string{"is there in part", "d is there"}},
		{"some of a batch", []chain{one, {step{"c": ""}}}, map[string]string{"a": "1"}, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := book{kept: map[string]string{"a": "1", "c": "1"}}
			b.begin(c.open)
			wrong, begun := b.compare(c.found)
			if len(wrong) != len(c.wrong) || begun != c.begun {
				t.Fatalf("%d begun, wrong are %q; want %d and %q", begun, wrong, c.begun, c.wrong)
			}
			for i := range wrong {
				if !strings.Contains(wrong[i], c.wrong[i]) {
					t.Errorf("%q, want %q", wrong[i], c.wrong[i])
				}
			}
			if again, _ := b.compare(c.found); len(again) != 0 || !maps.Equal(b.kept, c.found) {
				t.Errorf("what is there was not taken over: %q", again)
			}
		})
	}
}

func TestTheBookTakesWhatWasAnswered(t *testing.T) {
	b := book{kept: map[string]string{"a": "1"}}
	b.begin([]chain{{step{"a": "2"}}, {step{"b": "1"}}, {step{"c": "1"}}})
	b.done(0)
	b.refused(1)
	if wrong, _ := b.compare(map[string]string{"a": "1", "b": "1"}); len(wrong) != 2 {
		t.Errorf("an acknowledged change is gone and a refused one there: %q", wrong)
	}
}

func TestTheGazetteNoticesASequenceThatIsNotRaised(t *testing.T) {
	var g gazette
	for _, issue := range []struct {
		sequence uint64
		document string
		wrong    string
	}{
		{7, "one", ""}, {7, "one", ""}, {9, "two", ""},
		{9, "three", "has sequence 9, as another document had"}, {8, "four", "was 9 and is 8"}, {10, "four", ""},
	} {
		wrong := strings.Join(g.read([]byte(issue.document), issue.sequence), " ")
		if !strings.Contains(wrong, issue.wrong) || (wrong == "") != (issue.wrong == "") {
			t.Errorf("%d %s: %q, want %q", issue.sequence, issue.document, wrong, issue.wrong)
		}
	}
}

func TestTheTrailNoticesWhatHasNoRecordOrTwo(t *testing.T) {
	var read trail
	if wrong := read.take([]client.AuditRecord{
		{Index: 3, Subject: "entry/a", RequestID: "1"}, {Index: 4, Subject: "entry/b", RequestID: "2", Refused: "not_found"},
	}, []receipt{{3, "entry/a"}}); len(wrong) != 0 || read.read != 4 {
		t.Errorf("as it should be: %q, read up to %d", wrong, read.read)
	}
	wrong := read.take([]client.AuditRecord{
		{Index: 5, Subject: "entry/c", RequestID: "1"}, {Index: 6, Subject: "entry/d", RequestID: "3", Refused: "not_found"},
	}, []receipt{{5, "entry/x"}, {6, "entry/d"}, {7, "entry/e"}})
	if len(wrong) != 4 || !strings.Contains(wrong[0], "done at log index 3, and again at 5") {
		t.Errorf("one request twice, one record of something else, one refused, one missing: %q", wrong)
	}
}
