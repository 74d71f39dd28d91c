package state_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/workload"
)

func TestAnEntryIsMadeChangedAndDeleted(t *testing.T) {
	w := founded(t)
	e := entry("a", "/web", "unix:uid:1")
	e.CreatedAt, e.Revision = epoch.Add(-time.Hour), 9 // the creator has no say in these
	applied := w.do(state.PutEntry{Entry: e})
	if !applied.Change.Entry("a") || applied.Change.Entry("b") || applied.Change.Own {
		t.Errorf("the change is %+v", applied.Change)
	}
	have, _ := w.machine.View().Entry("a")
	if have.CreatedAt != epoch || have.Revision != 0 {
		t.Errorf("it was created at %s as revision %d", have.CreatedAt, have.Revision)
	}

	w.later(time.Minute)
	e.Hint = "internal"
	w.do(state.PutEntry{Entry: e, IfRevision: revision(0)})
	have, _ = w.machine.View().Entry("a")
	if have.CreatedAt != epoch || have.Revision != 1 || have.Hint != "internal" {
		t.Errorf("it became %+v", have)
	}

	w.do(state.DeleteEntry{ID: "a"})
	if _, ok := w.machine.View().Entry("a"); ok || w.machine.View().EntryCount() != 0 {
		t.Error("it is still there")
	}
	w.refused(broker.NotFound, state.DeleteEntry{ID: "a"})
}

func TestAChangeThatChangesNothingIsNone(t *testing.T) {
	w := founded(t)
	w.do(state.PutEntry{Entry: entry("a", "/web", "unix:uid:1")})
	if applied := w.do(state.PutEntry{Entry: entry("a", "/web", "unix:uid:1"), IfRevision: revision(0)}); !applied.Change.Empty() {
		t.Errorf("the change is %+v", applied.Change)
	}
	if e, _ := w.machine.View().Entry("a"); e.Revision != 0 {
		t.Errorf("the revision is %d", e.Revision)
	}
}

func TestAStaleProposerLoses(t *testing.T) {
	w := founded(t)
	e := entry("a", "/web", "unix:uid:1")
	w.do(state.PutEntry{Entry: e})
	w.refused(broker.AlreadyExists, state.PutEntry{Entry: e})
	e.Hint = "one"
	w.do(state.PutEntry{Entry: e, IfRevision: revision(0)})
	e.Hint = "two"
	w.refused(broker.Aborted, state.PutEntry{Entry: e, IfRevision: revision(0)})
	e.ID = "b"
	w.refused(broker.NotFound, state.PutEntry{Entry: e, IfRevision: revision(0)})
}

func TestTwoEntriesNeverSayTheSame(t *testing.T) {
	w := founded(t)
	w.do(state.PutEntry{Entry: entry("a", "/web", "unix:uid:1", "unix:gid:1")})
	w.refused(broker.AlreadyExists, state.PutEntry{Entry: entry("b", "/web", "unix:gid:1", "unix:uid:1")})
	w.do(state.PutEntry{Entry: entry("b", "/web", "unix:uid:1")})
	w.refused(broker.AlreadyExists, state.PutEntry{Entry: entry("b", "/web", "unix:uid:1", "unix:gid:1"), IfRevision: revision(0)})

	like, ok := w.machine.View().EntryLike(entry("", "/web", "unix:gid:1", "unix:uid:1"))
	if !ok || like.ID != "a" {
		t.Errorf("the entry like it is %+v", like)
	}
	if _, ok := w.machine.View().EntryLike(entry("", "/web", "unix:gid:1")); ok {
		t.Error("another one is like it")
	}
	w.do(state.DeleteEntry{ID: "a"})
	w.do(state.PutEntry{Entry: entry("b", "/web", "unix:uid:1", "unix:gid:1"), IfRevision: revision(0)})
}

func TestNobodyElsesIdentityIsGiven(t *testing.T) {
	w := founded(t)
	foreign := entry("a", "/web", "unix:uid:1")
	foreign.SPIFFEID, foreign.ParentID = spiffeid.RequireFromPath(bank, "/web"), workload.AgentAlias(bank)
	w.refused(broker.InvalidArgument, state.PutEntry{Entry: foreign})

	foreign.ParentID = spiffeid.ID{}
	w.refused(broker.InvalidArgument, state.PutEntry{Entry: foreign})
}

func TestAnEntryWithoutParentIsForEveryNode(t *testing.T) {
	w := founded(t)
	e := entry("a", "/web", "unix:uid:1")
	e.ParentID = spiffeid.ID{}
	w.do(state.PutEntry{Entry: e})
	node := state.Agent{ID: id("/spire/agent/concord/n1"), Method: "concord:node", Selectors: selectors("concord:node")}
	if got := names(w.machine.View().EntriesOf(node)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the node's entries are %v", got)
	}
	other := state.Agent{ID: id("/spire/agent/join_token/x"), Method: "join_token"}
	if got := w.machine.View().EntriesOf(other); len(got) != 0 {
		t.Errorf("another agent's entries are %v", names(got))
	}
}

func names(entries []*workload.Entry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e.ID)
	}
	return all
}

func TestAnAgentsEntriesAreTheDescendantsOfItsIDAndAliases(t *testing.T) {
	w := founded(t)
	agent := state.Agent{ID: id("/spire/agent/k8s/1"), Method: "k8s", Selectors: selectors("k8s:cluster:one", "k8s:zone:a")}
	put := func(name, path string, parent spiffeid.ID, sel ...string) {
		e := entry(name, path, sel...)
		e.ParentID = parent
		w.do(state.PutEntry{Entry: e})
	}
	put("own", "/own", agent.ID, "unix:uid:1")
	put("child", "/child", id("/own"), "unix:uid:1")
	put("grandchild", "/grandchild", id("/child"), "unix:uid:1")
	put("alias", "/cluster-one", workload.ServerID(acme), "k8s:cluster:one")
	put("aliased", "/aliased", id("/cluster-one"), "unix:uid:1")
	put("other-alias", "/cluster-two", workload.ServerID(acme), "k8s:cluster:two")
	put("other-aliased", "/other", id("/cluster-two"), "unix:uid:1")
	put("stricter-alias", "/cluster-one-b", workload.ServerID(acme), "k8s:cluster:one", "k8s:zone:b")
	put("stricter-aliased", "/other", id("/cluster-one-b"), "unix:uid:1")
	put("orphan", "/orphan", id("/nobody"), "unix:uid:1")
	put("loop", "/loop", id("/loop"), "unix:uid:1")
	put("elsewhere", "/elsewhere", id("/spire/agent/k8s/2"), "unix:uid:1")

	want := []string{"aliased", "child", "grandchild", "own"}
	if got := names(w.machine.View().EntriesOf(agent)); !slices.Equal(got, want) {
		t.Errorf("its entries are %v, not %v", got, want)
	}
	if got := names(w.machine.View().EntriesFor(agent, selectors("unix:uid:1", "unix:gid:1"))); !slices.Equal(got, want) {
		t.Errorf("its workload's entries are %v, not %v", got, want)
	}
	w.do(state.DeleteEntry{ID: "child"})
	want = []string{"aliased", "own"}
	if got := names(w.machine.View().EntriesOf(agent)); !slices.Equal(got, want) {
		t.Errorf("without the child its entries are %v, not %v", got, want)
	}
}

func TestOnlyAllOfAnEntrysSelectorsMatch(t *testing.T) {
	w := founded(t)
	node := state.Agent{ID: id("/spire/agent/concord/n1"), Method: "concord:node"}
	w.do(state.PutEntry{Entry: entry("one", "/one", "unix:uid:1")})
	w.do(state.PutEntry{Entry: entry("two", "/two", "unix:uid:1", "unix:gid:1")})
	w.do(state.PutEntry{Entry: entry("three", "/three", "unix:uid:1", "unix:gid:1", "unix:path:/bin/a")})
	for _, test := range []struct{ have, want []string }{
		{nil, nil},
		{[]string{"unix:uid:2"}, nil},
		{[]string{"unix:uid:1"}, []string{"one"}},
		{[]string{"unix:gid:1"}, nil},
		{[]string{"unix:uid:1", "unix:gid:1", "unix:user:a"}, []string{"one", "two"}},
		{[]string{"unix:uid:1", "unix:gid:1", "unix:path:/bin/a"}, []string{"one", "three", "two"}},
	} {
		if got := names(w.machine.View().EntriesFor(node, selectors(test.have...))); !slices.Equal(got, test.want) {
			t.Errorf("with %v the entries are %v, not %v", test.have, got, test.want)
		}
	}
}

func TestEntriesAreListedFromWhereAPageEnded(t *testing.T) {
	w := founded(t)
	var want []string
	for i := range 150 {
		name := fmt.Sprintf("%03d", i)
		want = append(want, name)
		w.do(state.PutEntry{Entry: entry(name, "/"+name, "unix:uid:1")})
	}
	v := w.machine.View()
	if got := names(slices.Collect(v.Entries())); !slices.Equal(got, want) {
		t.Errorf("the entries are %v", got)
	}
	if got := names(slices.Collect(v.EntriesFrom("070"))); !slices.Equal(got, want[70:]) {
		t.Errorf("the entries from 070 are %v", got)
	}
	if got := names(slices.Collect(v.EntriesWithID(id("/042")))); !slices.Equal(got, []string{"042"}) {
		t.Errorf("the entries of /042 are %v", got)
	}
	if got := slices.Collect(v.EntriesUnder(workload.AgentAlias(acme))); len(got) != 150 {
		t.Errorf("%d entries are under the alias", len(got))
	}
}

func TestAViewNeverChanges(t *testing.T) {
	w := founded(t)
	for i := range 100 {
		w.do(state.PutEntry{Entry: entry(fmt.Sprint(i), fmt.Sprint("/", i), "unix:uid:1")})
	}
	old, before, digest := w.machine.View(), w.records(), w.machine.View().Digest()
	for i := range 100 {
		w.do(state.DeleteEntry{ID: fmt.Sprint(i)})
	}
	w.do(state.PutAgent{Agent: state.Agent{ID: id("/spire/agent/concord/n1"), Method: "concord:node"}})
	now := w.machine
	w.machine = state.NewMachine()
	if old.EntryCount() != 100 || old.Digest() != digest || len(old.EntriesOf(state.Agent{ID: id("/spire/agent/concord/n1")})) != 100 {
		t.Error("an old view has lost entries")
	}
	w.machine = now
	if w.records() == before {
		t.Error("the new view is the old one")
	}
	if reflect.DeepEqual(old, now.View()) {
		t.Error("both views are one")
	}
}
