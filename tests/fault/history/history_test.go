package history_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	h "github.com/concord-id/concord/tests/fault/history"
)

const ms = time.Millisecond

// at gives an event its time.
func at(begin, end time.Duration, e h.Event) h.Event {
	e.Begin, e.End = begin*ms, end*ms
	return e
}

func write(op, key, value, outcome string, revision, index uint64) h.Event {
	return h.Event{Kind: h.Write, Client: "c1", Node: "n1", Op: op, Key: key, Value: value, Outcome: outcome, Revision: revision, Index: index, Request: key + value + op}
}

func provided(e h.Event, revision uint64) h.Event {
	e.If = &revision
	return e
}

func read(op, value, outcome string, revision, seen uint64) h.Event {
	return h.Event{Kind: h.Read, Client: "c1", Node: "n1", Op: op, Key: "k", Value: value, Outcome: outcome, Revision: revision, Seen: seen}
}

// audited is the record of a write.
func audited(w h.Event) h.Event {
	return h.Event{Kind: h.Audited, Node: "n1", Index: w.Index, Hash: "head" + w.Request, Request: w.Request, Op: "put_entry", Outcome: h.Done}
}

func document(client, way, node string, sequence uint64, hash string, keys ...string) h.Event {
	return h.Event{Kind: h.Document, Client: client, Way: way, Node: node, Sequence: sequence, Hash: hash, Keys: keys, Outcome: h.Done}
}

func svid(node, authority string) h.Event {
	return h.Event{Kind: h.SVID, Node: node, Use: "x509", Keys: []string{authority}}
}

func publishes(domain string, version uint64, keys ...string) h.Event {
	return h.Event{Kind: h.Published, Domain: domain, Sequence: version, Keys: keys}
}

func delivery(stream, domain string, keys ...string) h.Event {
	return h.Event{Kind: h.Delivery, Client: stream, Node: "n1", Domain: domain, Keys: keys}
}

func sample(node string, index uint64, hash string) h.Event {
	return h.Event{Kind: h.Sample, Node: node, Index: index, Hash: hash}
}

// The histories: what is allowed, and beside it what is not.
var (
	created = at(0, 10, write(h.Create, "k", "a", h.Done, 0, 5))
	changed = at(20, 30, write(h.Change, "k", "b", h.Done, 1, 6))
	deleted = at(40, 50, write(h.Delete, "k", "", h.Done, 0, 7))
	maybe   = at(20, 30, write(h.Change, "k", "b", h.Unknown, 0, 0))
)

func trailOf(writes ...h.Event) []h.Event {
	all := writes
	for _, w := range writes {
		if w.Outcome == h.Done {
			all = append(all, audited(w))
		}
	}
	return all
}

func with(events []h.Event, more ...h.Event) []h.Event { return append(events, more...) }

var histories = []struct {
	name   string
	events []h.Event
	wrong  string // words of the one violation; "": there is none
}{
	{"writes and a last read", with(trailOf(created, changed), at(60, 61, read(h.Last, "b", h.Done, 1, 0))), ""},
	{"an acknowledged write that is gone", with(trailOf(created, changed), at(60, 61, read(h.Last, "a", h.Done, 0, 0))), "linearizable"},
	{"an acknowledged record that is not found", with(trailOf(created), at(60, 61, read("", "", "not_found", 0, 0))), "linearizable"},
	{"a record that is deleted and not found", with(trailOf(created, changed, deleted), at(60, 61, read(h.Last, "", "not_found", 0, 0))), ""},
	{"a deleted record that is back", with(trailOf(created, changed, deleted), at(60, 61, read(h.Last, "b", h.Done, 1, 0))), "linearizable"},
	{"a write without an answer that is done", with(trailOf(created), maybe, at(60, 61, read(h.Last, "b", h.Done, 1, 0))), ""},
	{"a write without an answer that is not done", with(trailOf(created), maybe, at(60, 61, read(h.Last, "a", h.Done, 0, 0))), ""},
	{"a write without an answer that is done twice", with(trailOf(created), maybe, at(60, 61, read(h.Last, "b", h.Done, 2, 0))), "linearizable"},
	{"a refused write that is done", with(trailOf(created), at(20, 30, provided(write(h.Change, "k", "b", "aborted", 0, 0), 7)), at(60, 61, read(h.Last, "b", h.Done, 1, 0))), "linearizable"},
	{"an answer that shows what came after", with(trailOf(created, func() h.Event {
		e := changed
		e.Later, e.Revision = true, 0
		return e
	}()), at(60, 61, read(h.Last, "b", h.Done, 1, 0))), ""},
	{"two writes that both replaced the same revision", trailOf(created, provided(changed, 0), at(20, 31, provided(write(h.Change, "k", "c", h.Done, 1, 7), 0))), "linearizable"},
	{"a write that was refused although its revision was there", trailOf(created, at(20, 30, provided(write(h.Change, "k", "b", "aborted", 0, 0), 0))), "linearizable"},

	{"a later write with an earlier index", trailOf(created, at(20, 30, write(h.Create, "other", "a", h.Done, 0, 4))), "in their order"},
	{"writes at the same time in any order", trailOf(created, at(5, 30, write(h.Create, "other", "a", h.Done, 0, 4))), ""},

	{"a read that is a little old", with(trailOf(created, changed), at(60, 61, read("", "a", h.Done, 0, 5))), ""},
	{"a read that is older than what its client said that it knows", with(trailOf(created, changed), at(60, 61, read("", "a", h.Done, 0, 6))), "never go back"},
	{"a read of what nobody wrote", with(trailOf(created), at(60, 61, read("", "z", h.Done, 0, 0))), "nobody had written"},
	{"a read of what was written later", trailOf(at(0, 1, read("", "a", h.Done, 0, 0)), at(10, 20, write(h.Create, "k", "a", h.Done, 0, 5))), "nobody had written"},
	{"reads that go back at one node", with(trailOf(created, changed), at(60, 61, read("", "b", h.Done, 1, 0)), at(62, 63, read("", "a", h.Done, 0, 0))), "had read 1 there"},
	{"reads that go back over a restart", with(trailOf(created, changed), at(60, 61, read("", "b", h.Done, 1, 0)), h.Event{Kind: h.Start, Node: "n1"}, at(62, 63, read("", "a", h.Done, 0, 0))), ""},

	{"an acknowledged write without a record", []h.Event{created}, "audit trail"},
	{"a request that was done twice", with(trailOf(created), at(0, 0, h.Event{Kind: h.Audited, Index: 9, Hash: "x", Request: created.Request, Outcome: h.Done})), "again at 9"},
	{"two nodes with another record", with(trailOf(created), at(0, 0, h.Event{Kind: h.Audited, Node: "n2", Index: 5, Hash: "x", Request: created.Request, Outcome: h.Done})), "same log"},
	{"a bundle that is brought twice", []h.Event{
		{Kind: h.Audited, Index: 3, Request: "p1", Op: h.PutBundle, Key: "bundle/b", Value: "1", Outcome: h.Done},
		{Kind: h.Audited, Index: 4, Request: "p2", Op: h.PutBundle, Key: "bundle/b", Value: "1", Outcome: h.Done},
	}, "the same again"},
	{"states that are alike", []h.Event{sample("n1", 7, "x"), sample("n2", 7, "x"), sample("n2", 8, "y")}, ""},
	{"states that differ", []h.Event{sample("n1", 7, "x"), sample("n2", 7, "y")}, "at log index 7"},

	{"a sequence that grows", []h.Event{at(0, 1, document("c", h.Kept, "n1", 1, "a")), at(2, 3, document("c", h.Kept, "n1", 2, "b"))}, ""},
	{"a sequence that goes back on a connection", []h.Event{at(0, 1, document("c", h.Kept, "n1", 2, "b")), at(2, 3, document("c", h.Kept, "n1", 1, "a"))}, "and had 2"},
	{"a sequence that goes back in spite of a tag", []h.Event{at(0, 1, document("c", h.Tagged, "n1", 2, "b")), at(2, 3, document("c", h.Tagged, "n2", 1, "a"))}, "and had 2"},
	{"a sequence that goes back a little for a stranger", []h.Event{at(0, 1, document("c", h.Fresh, "n1", 2, "b")), at(900, 901, document("c", h.Fresh, "n2", 1, "a"))}, ""},
	{"a sequence that goes back far for a stranger", []h.Event{at(0, 1, document("c", h.Fresh, "n1", 2, "b")), at(1900, 1901, document("c", h.Fresh, "n2", 1, "a"))}, "as if it were the newest"},
	{"an old document that says so", []h.Event{at(0, 1, document("c", h.Fresh, "n1", 2, "b")), func() h.Event {
		e := at(1900, 1901, document("c", h.Fresh, "n2", 1, "a"))
		e.Aged = true
		return e
	}()}, ""},
	{"one sequence with two contents", []h.Event{at(0, 1, document("c", h.Fresh, "n1", 2, "b")), at(2, 3, document("c", h.Fresh, "n2", 2, "a"))}, "sequence 2 is b"},
	{"one content with two sequences", []h.Event{at(0, 1, document("c", h.Fresh, "n1", 2, "b")), at(2, 3, document("c", h.Fresh, "n2", 3, "b"))}, "has sequence 2"},

	{"a published authority that signs", []h.Event{at(0, 1, document("c", h.Kept, "n1", 2, "b", "key")), at(5, 6, svid("n1", "key")), at(7, 8, document("d", h.Kept, "n2", 2, "b", "key"))}, ""},
	{"an authority that nobody serves", []h.Event{at(0, 1, document("c", h.Kept, "n1", 2, "b", "key")), at(5, 6, svid("n1", "secret"))}, "no endpoint ever served"},
	{"an authority that one endpoint does not serve yet", []h.Event{at(0, 1, document("c", h.Kept, "n1", 2, "b", "key")), at(5, 6, svid("n1", "key")), at(7, 8, document("d", h.Kept, "n2", 1, "a"))}, "without authority key"},
	{"an authority that was removed", []h.Event{at(0, 1, document("c", h.Kept, "n1", 2, "b", "key")), at(5, 6, svid("n1", "key")), at(7, 8, document("d", h.Kept, "n2", 3, "c"))}, ""},

	{"what a domain published", []h.Event{at(0, 0, publishes("b", 1, "x")), at(1, 1, delivery("s", "b", "x")), at(2, 2, publishes("b", 2, "y")), at(3, 3, delivery("s", "b", "y"))}, ""},
	{"a key under another domain", []h.Event{at(0, 0, publishes("b", 1, "x")), at(0, 0, publishes("c", 1, "y")), at(1, 1, delivery("s", "b", "y"))}, "never published"},
	{"two domains' keys together", []h.Event{at(0, 0, publishes("b", 1, "x")), at(0, 0, publishes("c", 1, "y")), at(1, 1, delivery("s", "b", "x", "y"))}, "never published"},
	{"an older bundle on the same stream", []h.Event{at(0, 0, publishes("b", 1, "x")), at(0, 0, publishes("b", 2, "y")), at(3, 3, delivery("s", "b", "y")), at(4, 4, delivery("s", "b", "x"))}, "after 2"},

	{"a stale node that issues", []h.Event{at(0, 1, document("c", h.Kept, "n1", 2, "b", "key")), {Kind: h.Stale, Node: "n1", Begin: 10 * ms, End: 20 * ms}, at(15, 16, svid("n1", "key"))}, "was stale"},
	{"another node that issues meanwhile", []h.Event{at(0, 1, document("c", h.Kept, "n1", 2, "b", "key")), {Kind: h.Stale, Node: "n1", Begin: 10 * ms, End: 20 * ms}, at(15, 16, svid("n2", "key")), at(30, 31, svid("n1", "key"))}, ""},

	{"what was seen at once", []h.Event{{Kind: h.Wrong, Op: "corruption is loud", Value: "it served"}}, "it served"},
}

func TestWhatMustNotBeIsFoundAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, tt := range histories {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wrong := h.Check(tt.events)
			switch {
			case tt.wrong == "" && len(wrong) > 0:
				t.Errorf("it is allowed, and was found to be wrong: %v", wrong)
			case tt.wrong != "" && len(wrong) == 0:
				t.Errorf("nothing was found, want %q", tt.wrong)
			case tt.wrong != "" && !strings.Contains(wrong[0].String(), tt.wrong):
				t.Errorf("%v, want %q", wrong[0], tt.wrong)
			}
		})
	}
}

func TestAHistoryIsReadAsItWasKept(t *testing.T) {
	t.Parallel()
	var kept bytes.Buffer
	w := h.NewWriter(&kept)
	var all []h.Event
	for _, tt := range histories {
		all = append(all, tt.events...)
	}
	for _, e := range all {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	got, err := h.ReadAll(&kept)
	if err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("%v; read %d events of %d", err, len(got), len(all))
	}
	if _, err := h.ReadAll(strings.NewReader("{\"kind\":\"write\"}\nnonsense")); err == nil || !strings.Contains(err.Error(), "event 2") {
		t.Errorf("nonsense: %v", err)
	}
}
