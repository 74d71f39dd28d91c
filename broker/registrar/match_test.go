package registrar_test

import (
	"strings"
	"testing"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/tests/memcluster"
	"github.com/concord-id/concord/workload"
)

// The rows are the sets of a record; each match names the rows that it finds
// when it asks for b and c.
func TestSetsAreCompared(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	for _, set := range []string{"a", "b", "c", "ab", "bc", "abc", "bcd", "d"} {
		e := workload.Entry{ID: set, SPIFFEID: c.ID("/" + set)}
		for _, v := range set {
			e.Selectors = append(e.Selectors, attest.Selector{Type: "s", Value: string(v)})
		}
		create(t, c, e)
	}
	asked := []attest.Selector{{Type: "s", Value: "c"}, {Type: "s", Value: "b"}}
	for name, want := range map[registrar.Match]string{
		registrar.MatchExact:    "bc",
		registrar.MatchSubset:   "b bc c",
		registrar.MatchSuperset: "abc bc bcd",
		registrar.MatchAny:      "ab abc b bc bcd c",
	} {
		list, err := c.Registrar.Entries(t.Context(), memcluster.Reader, registrar.EntryFilter{Selectors: &registrar.SelectorMatch{Selectors: asked, Match: name}}, registrar.Page{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range list.Items {
			got = append(got, e.ID)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("match %d finds %v, want %s", name, got, want)
		}
	}
}
