package registrar_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/tests/memcluster"
	"github.com/concord-id/concord/workload"
)

const acme = "acme.example"

func domain(name string) spiffeid.TrustDomain { return spiffeid.RequireTrustDomainFromString(name) }

// entry is an entry of the domain acme for the user uid.
func entry(path string, uid int) workload.Entry {
	return workload.Entry{
		SPIFFEID:  spiffeid.RequireFromPath(domain(acme), path),
		Selectors: []attest.Selector{{Type: "unix", Value: fmt.Sprintf("uid:%d", uid)}},
	}
}

func create(t testing.TB, c *memcluster.Cluster, e workload.Entry) *workload.Entry {
	t.Helper()
	out, err := c.Registrar.CreateEntry(t.Context(), memcluster.Admin, registrar.CreateEntry{Entry: e})
	if err != nil {
		t.Fatalf("create %s: %v", e.SPIFFEID, err)
	}
	return out.After
}

func wantCode(t testing.TB, err error, code broker.Code) {
	t.Helper()
	if broker.CodeOf(err) != code {
		t.Errorf("error is %q %v, want %q", broker.CodeOf(err), err, code)
	}
}

func TestCreateEntryFillsInWhatWasLeftOut(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	out, err := c.Registrar.CreateEntry(t.Context(), memcluster.Admin, registrar.CreateEntry{Entry: entry("/web", 1)})
	if err != nil {
		t.Fatal(err)
	}
	e := out.After
	if len(e.ID) != 36 || e.ParentID != workload.AgentAlias(c.TrustDomain()) || e.CreatedAt.IsZero() || e.Revision != 0 {
		t.Errorf("created %+v, want a UUID, the built-in parent, a time and revision 0", e)
	}
	if out.Before != nil || out.Index == 0 || out.Index != c.View().Index() {
		t.Errorf("before is %v and the index %d, want none and %d", out.Before, out.Index, c.View().Index())
	}
	read, err := c.Registrar.Entry(t.Context(), memcluster.Reader, e.ID)
	if err != nil || read.SPIFFEID != e.SPIFFEID {
		t.Errorf("read back %v, %v", read, err)
	}
}

func TestCreateEntryShowsWhatStandsInItsWay(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	first := create(t, c, entry("/web", 1))
	for name, second := range map[string]workload.Entry{
		"the same content": entry("/web", 1),
		"the same ID":      func() workload.Entry { e := entry("/other", 9); e.ID = first.ID; return e }(),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := c.Registrar.CreateEntry(t.Context(), memcluster.Admin, registrar.CreateEntry{Entry: second})
			wantCode(t, err, broker.AlreadyExists)
			if out.Before == nil || out.Before.ID != first.ID || out.After != nil {
				t.Errorf("outcome is %+v, want the first entry as Before", out)
			}
		})
	}
}

func TestCreateEntryRefusesAtTheDoor(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	index := c.View().Index()
	for name, change := range map[string]func(*workload.Entry){
		"a foreign SPIFFE ID": func(e *workload.Entry) { e.SPIFFEID = spiffeid.RequireFromString("spiffe://bank.example/web") },
		"a reserved path":     func(e *workload.Entry) { e.SPIFFEID = c.ID("/spire/agent/x") },
		"the domain itself":   func(e *workload.Entry) { e.SPIFFEID = c.TrustDomain().ID() },
		"a foreign parent":    func(e *workload.Entry) { e.ParentID = spiffeid.RequireFromString("spiffe://bank.example/agent") },
		"no selectors":        func(e *workload.Entry) { e.Selectors = nil },
		"a selector of none":  func(e *workload.Entry) { e.Selectors[0].Value = "" },
		"a negative lifetime": func(e *workload.Entry) { e.X509TTL = -time.Second },
		"a hint too long":     func(e *workload.Entry) { e.Hint = string(make([]byte, workload.MaxHintBytes+1)) },
		"a bad DNS name":      func(e *workload.Entry) { e.DNSNames = []string{"a b"} },
		"an ID with a slash":  func(e *workload.Entry) { e.ID = "a/b" },
	} {
		t.Run(name, func(t *testing.T) {
			e := entry("/web", 1)
			change(&e)
			_, err := c.Registrar.CreateEntry(t.Context(), memcluster.Admin, registrar.CreateEntry{Entry: e})
			wantCode(t, err, broker.InvalidArgument)
		})
	}
	if c.View().Index() != index {
		t.Errorf("the log grew from %d to %d: what is invalid must not be proposed", index, c.View().Index())
	}
}

func TestARetryWithTheSameRequestIDIsAppliedOnce(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	who := memcluster.Admin
	who.RequestID = "req-1"
	lost := errors.New("the answer was lost")
	c.AfterPropose(func(state.Command) error { return lost })
	if _, err := c.Registrar.CreateEntry(t.Context(), who, registrar.CreateEntry{Entry: entry("/web", 1)}); !errors.Is(err, lost) {
		t.Fatalf("error is %v, want %v", err, lost)
	}
	c.AfterPropose(nil)
	out, err := c.Registrar.CreateEntry(t.Context(), who, registrar.CreateEntry{Entry: entry("/web", 1)})
	if err != nil || out.After == nil {
		t.Fatalf("the retry answered %+v, %v, want the entry of the first attempt", out, err)
	}
	if n := c.View().EntryCount(); n != 1 {
		t.Errorf("there are %d entries, want 1", n)
	}
	other, err := c.Registrar.CreateEntry(t.Context(), who, registrar.CreateEntry{Entry: entry("/api", 2)})
	if err != nil || other.After.ID == out.After.ID {
		t.Errorf("another request with the same ID answered %+v, %v, want another entry", other, err)
	}
}

func TestARetriedDeletionIsNotNotFound(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	e := create(t, c, entry("/web", 1))
	who := memcluster.Admin
	who.RequestID = "req-1"
	for range 2 {
		if _, err := c.Registrar.DeleteEntry(t.Context(), who, registrar.DeleteEntry{ID: e.ID}); err != nil {
			t.Error(err)
		}
	}
	_, err := c.Registrar.DeleteEntry(t.Context(), memcluster.Admin, registrar.DeleteEntry{ID: e.ID})
	wantCode(t, err, broker.NotFound)
}

func TestUpdateEntryChangesTheNamedFieldsOnly(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	made := entry("/web", 1)
	made.Hint, made.X509TTL, made.Admin = "old", time.Minute, true
	e := create(t, c, made)
	out, err := c.Registrar.UpdateEntry(t.Context(), memcluster.Admin, registrar.UpdateEntry{
		Entry:  workload.Entry{ID: e.ID, Hint: "new", JWTTTL: time.Hour},
		Fields: registrar.EntryHint | registrar.EntryAdmin,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := out.After
	if got.Hint != "new" || got.Admin || got.X509TTL != time.Minute || got.JWTTTL != 0 || got.SPIFFEID != e.SPIFFEID || got.Revision != 1 {
		t.Errorf("updated to %+v", got)
	}
	if out.Before.Hint != "old" || !out.Before.Admin || out.Before.Revision != 0 {
		t.Errorf("before was %+v", out.Before)
	}
}

func TestEveryEntryFieldCanBeNamed(t *testing.T) {
	full := workload.Entry{
		SPIFFEID: spiffeid.RequireFromPath(domain(acme), "/new"), ParentID: spiffeid.RequireFromPath(domain(acme), "/parent"),
		Selectors:     []attest.Selector{{Type: "unix", Value: "gid:7"}},
		FederatesWith: []spiffeid.TrustDomain{domain("bank.example")},
		X509TTL:       time.Minute, JWTTTL: time.Minute, DNSNames: []string{"new.example"}, Hint: "new",
		Admin: true, Downstream: true, StoreSVID: true, ExpiresAt: time.Unix(4e9, 0).UTC(),
	}
	c := memcluster.New(t, acme, memcluster.Options{})
	for field := registrar.EntryFields(1); field < registrar.AllEntryFields; field <<= 1 {
		e := create(t, c, entry(fmt.Sprintf("/web%d", field), int(field)))
		full.ID = e.ID
		out, err := c.Registrar.UpdateEntry(t.Context(), memcluster.Admin, registrar.UpdateEntry{Entry: full, Fields: field})
		if err != nil {
			t.Fatalf("field %b: %v", field, err)
		}
		if out.After.Revision != 1 {
			t.Errorf("field %b: revision %d, so nothing was changed", field, out.After.Revision)
		}
	}
}

func TestUpdateEntryMakesItAnewWhenSomebodyComesInBetween(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	e := create(t, c, entry("/web", 1))
	var others atomic.Int32
	c.BeforePropose(func(command state.Command) error {
		if put, ok := command.(state.PutEntry); ok && others.Add(1) <= 3 {
			c.BeforePropose(nil)
			defer c.BeforePropose(func(state.Command) error { return nil })
			other := put.Entry
			other.Hint = fmt.Sprint("other", others.Load())
			revision := *put.IfRevision
			c.Do(t, state.PutEntry{Entry: other, IfRevision: &revision})
		}
		return nil
	})
	out, err := c.Registrar.UpdateEntry(t.Context(), memcluster.Admin, registrar.UpdateEntry{
		Entry: workload.Entry{ID: e.ID, Admin: true}, Fields: registrar.EntryAdmin,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !out.After.Admin || out.After.Hint != "other1" {
		t.Errorf("after is %+v, want both changes", out.After)
	}
}

func TestUpdateEntryWithARevisionDoesNotTryAgain(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	e := create(t, c, entry("/web", 1))
	stale := uint64(7)
	_, err := c.Registrar.UpdateEntry(t.Context(), memcluster.Admin, registrar.UpdateEntry{
		Entry: workload.Entry{ID: e.ID, Admin: true}, Fields: registrar.EntryAdmin, IfRevision: &stale,
	})
	wantCode(t, err, broker.Aborted)
	_, err = c.Registrar.UpdateEntry(t.Context(), memcluster.Admin, registrar.UpdateEntry{Entry: workload.Entry{ID: "none"}, Fields: registrar.EntryAdmin})
	wantCode(t, err, broker.NotFound)
}

func TestDryRunShowsAndChangesNothing(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	e := create(t, c, entry("/web", 1))
	digest, index := c.View().Digest(), c.View().Index()
	r, ctx := c.Registrar, t.Context()

	made, err := r.CreateEntry(ctx, memcluster.Admin, registrar.CreateEntry{Entry: entry("/api", 2), DryRun: true})
	if err != nil || made.After == nil || !made.DryRun || made.Index != index {
		t.Errorf("create: %+v, %v", made, err)
	}
	_, err = r.CreateEntry(ctx, memcluster.Admin, registrar.CreateEntry{Entry: entry("/web", 1), DryRun: true})
	wantCode(t, err, broker.AlreadyExists)
	changed, err := r.UpdateEntry(ctx, memcluster.Admin, registrar.UpdateEntry{Entry: workload.Entry{ID: e.ID, Hint: "x"}, Fields: registrar.EntryHint, DryRun: true})
	if err != nil || changed.Before.Hint != "" || changed.After.Hint != "x" {
		t.Errorf("update: %+v, %v", changed, err)
	}
	deleted, err := r.DeleteEntry(ctx, memcluster.Admin, registrar.DeleteEntry{ID: e.ID, DryRun: true})
	if err != nil || deleted.Before == nil || deleted.After != nil {
		t.Errorf("delete: %+v, %v", deleted, err)
	}
	if c.View().Digest() != digest || c.View().Index() != index {
		t.Error("a dry run changed the state")
	}
}

func TestEveryWriteHasAnAuthorInTheTrail(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	who := memcluster.Admin
	who.Name, who.Cause, who.RequestID = "unix:uid=0", "ticket 7", "req-9"
	out, err := c.Registrar.CreateEntry(t.Context(), who, registrar.CreateEntry{Entry: entry("/web", 1)})
	if err != nil {
		t.Fatal(err)
	}
	records, err := c.Registrar.Audit(t.Context(), memcluster.Reader, registrar.AuditFilter{After: out.Index - 1})
	if err != nil {
		t.Fatal(err)
	}
	for record := range records {
		if record.Actor != who.Name || record.Cause != who.Cause || record.Kind != "put_entry" || record.RequestID[:6] != "req-9." {
			t.Errorf("record is %+v", record)
		}
	}
}

func TestAReadWaitsForWhatItsCallerHasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memcluster.New(t, acme, memcluster.Options{Lagging: true})
		look := func(who broker.Caller) (there int, waited time.Duration, err error) {
			begun := time.Now()
			page, err := c.Registrar.Entries(t.Context(), who, registrar.EntryFilter{}, registrar.Page{})
			return len(page.Items), time.Since(begun), err
		}
		fresh := entry("/web", 1)
		fresh.ID, fresh.ParentID = "web", workload.AgentAlias(c.TrustDomain())
		c.Do(t, state.PutEntry{Entry: fresh})
		seen := memcluster.Reader
		seen.SeenIndex = c.View().Index()

		if there, waited, err := look(memcluster.Reader); there != 0 || waited != 0 || err != nil {
			t.Errorf("who has seen nothing reads %d entries after %s, %v", there, waited, err)
		}
		if _, waited, err := look(seen); broker.CodeOf(err) != broker.Unavailable || waited != time.Second {
			t.Errorf("what does not come is given up after %s, %v", waited, err)
		}
		time.AfterFunc(300*time.Millisecond, c.Lagging.CatchUp)
		if there, waited, err := look(seen); there != 1 || waited != 300*time.Millisecond || err != nil {
			t.Errorf("who has seen it reads %d entries after %s, %v", there, waited, err)
		}
	})
}

func TestEntriesAreFilteredByEverythingThatIsSet(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	bank, shop := domain("bank.example"), domain("shop.example")
	yes := true
	for i, e := range []workload.Entry{
		{ID: "a", Hint: "x", FederatesWith: []spiffeid.TrustDomain{bank}},
		{ID: "b", Hint: "x", FederatesWith: []spiffeid.TrustDomain{bank, shop}, Downstream: true},
		{ID: "c", Hint: "y", ParentID: c.ID("/agent")},
	} {
		e.SPIFFEID = c.ID(fmt.Sprintf("/w%d", i))
		e.Selectors = []attest.Selector{{Type: "unix", Value: fmt.Sprint("uid:", i)}, {Type: "unix", Value: "gid:1"}}
		create(t, c, e)
	}
	both := []attest.Selector{{Type: "unix", Value: "uid:1"}, {Type: "unix", Value: "gid:1"}, {Type: "unix", Value: "uid:1"}}
	for name, f := range map[string]struct {
		filter registrar.EntryFilter
		want   string
	}{
		"nothing":            {registrar.EntryFilter{}, "abc"},
		"SPIFFE ID":          {registrar.EntryFilter{SPIFFEID: c.ID("/w1")}, "b"},
		"parent":             {registrar.EntryFilter{ParentID: c.ID("/agent")}, "c"},
		"hint":               {registrar.EntryFilter{Hint: "x"}, "ab"},
		"downstream":         {registrar.EntryFilter{Downstream: &yes}, "b"},
		"exact selectors":    {registrar.EntryFilter{Selectors: &registrar.SelectorMatch{Selectors: both}}, "b"},
		"superset selectors": {registrar.EntryFilter{Selectors: &registrar.SelectorMatch{Selectors: both[1:2], Match: registrar.MatchSuperset}}, "abc"},
		"exact domains":      {registrar.EntryFilter{FederatesWith: &registrar.DomainMatch{TrustDomains: []spiffeid.TrustDomain{bank}}}, "a"},
		"superset domains":   {registrar.EntryFilter{FederatesWith: &registrar.DomainMatch{TrustDomains: []spiffeid.TrustDomain{bank}, Match: registrar.MatchSuperset}}, "ab"},
		"two at once":        {registrar.EntryFilter{Hint: "x", Downstream: &yes}, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := c.Registrar.Entries(t.Context(), memcluster.Reader, f.filter, registrar.Page{})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, e := range list.Items {
				got += e.ID
			}
			if n, err := c.Registrar.CountEntries(t.Context(), memcluster.Reader, f.filter); got != f.want || n != len(f.want) || err != nil {
				t.Errorf("listed %q and counted %d (%v), want %q", got, n, err, f.want)
			}
		})
	}
}

func TestFiltersThatMakeNoSenseAreRefused(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	for name, f := range map[string]registrar.EntryFilter{
		"no selectors":     {Selectors: &registrar.SelectorMatch{}},
		"a bad selector":   {Selectors: &registrar.SelectorMatch{Selectors: []attest.Selector{{Type: "unix"}}}},
		"no domains":       {FederatesWith: &registrar.DomainMatch{}},
		"an unknown match": {FederatesWith: &registrar.DomainMatch{TrustDomains: []spiffeid.TrustDomain{domain("b.example")}, Match: 9}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Registrar.Entries(t.Context(), memcluster.Reader, f, registrar.Page{})
			wantCode(t, err, broker.InvalidArgument)
			_, err = c.Registrar.CountEntries(t.Context(), memcluster.Reader, f)
			wantCode(t, err, broker.InvalidArgument)
		})
	}
}
