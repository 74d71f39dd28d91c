package spireapi_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/concord-id/concord/broker/spireapi"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/tests/memcluster"
)

// full has every field that SPIRE's API can set and Concord knows.
func full() *types.Entry {
	return &types.Entry{
		Id: "web-1", SpiffeId: id("/web"), ParentId: id("/spire/agent/concord/n1"), Selectors: selectors("gid:1", "uid:1"),
		X509SvidTtl: 60, JwtSvidTtl: 30, FederatesWith: []string{"bank.example", "shop.example"}, Admin: true, Downstream: true,
		ExpiresAt: 4102444800, DnsNames: []string{"web.acme.example", "a.acme.example"}, Hint: "internal",
	}
}

func createEntries(t testing.TB, s *served, entries ...*types.Entry) []*entryv1.BatchCreateEntryResponse_Result {
	t.Helper()
	resp, err := entryv1.NewEntryClient(s.conn).BatchCreateEntry(t.Context(), &entryv1.BatchCreateEntryRequest{Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Results) != len(entries) {
		t.Fatalf("%d results for %d entries", len(resp.Results), len(entries))
	}
	return resp.Results
}

func TestAnEntryComesBackAsItWasCreated(t *testing.T) {
	s := serve(t, memcluster.Options{})
	made := createEntries(t, s, full())[0]
	wantStatus(t, made.Status, codes.OK)
	if made.Status.Message != "OK" || made.Entry.CreatedAt == 0 || made.Entry.RevisionNumber != 0 {
		t.Errorf("made %v", made)
	}
	want := full()
	want.CreatedAt = made.Entry.CreatedAt
	got, err := entryv1.NewEntryClient(s.conn).GetEntry(t.Context(), &entryv1.GetEntryRequest{Id: "web-1"})
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestBatchCreateEntryAnswersEachItem(t *testing.T) {
	s := serve(t, memcluster.Options{})
	foreign := full()
	foreign.Id, foreign.SpiffeId = "", &types.SPIFFEID{TrustDomain: "bank.example", Path: "/web"}
	attributes := full()
	attributes.Id, attributes.AdditionalAttributes = "", &types.Entry_AdditionalAttributes{JwtSvidIncludeJti: true}
	path := full()
	path.Id, path.SpiffeId = "", id("web")
	domain := full()
	domain.Id, domain.FederatesWith = "", []string{"Bank.example"}
	bare := &types.Entry{SpiffeId: id("/bare"), Selectors: selectors("uid:2")}
	results := createEntries(t, s, full(), full(), foreign, attributes, path, domain, bare, &types.Entry{})
	for i, want := range []codes.Code{codes.OK, codes.AlreadyExists, codes.InvalidArgument, codes.InvalidArgument, codes.InvalidArgument, codes.InvalidArgument, codes.OK, codes.InvalidArgument} {
		wantStatus(t, results[i].Status, want)
		if hasEntry := results[i].Entry != nil; hasEntry != (want == codes.OK || want == codes.AlreadyExists) {
			t.Errorf("item %d (%s) has an entry: %v", i, want, hasEntry)
		}
	}
	if results[1].Entry.GetId() != "web-1" {
		t.Errorf("the one that exists already is %v", results[1].Entry)
	}
	if p := results[6].Entry; p.ParentId.Path != "/spire/agent/concord" || len(p.Id) != 36 {
		t.Errorf("an entry without parent and ID became %v", p)
	}
}

func TestBatchesOfManyAreDoneSideBySideAndAnsweredInOrder(t *testing.T) {
	s := serve(t, memcluster.Options{})
	var entries []*types.Entry
	for i := range 300 {
		entries = append(entries, &types.Entry{SpiffeId: id(fmt.Sprint("/w", i)), Selectors: selectors(fmt.Sprint("uid:", i))})
	}
	for i, r := range createEntries(t, s, entries...) {
		if r.Status.Code != 0 || r.Entry.SpiffeId.Path != fmt.Sprint("/w", i) {
			t.Fatalf("item %d: %v", i, r)
		}
	}
}

func TestBatchesAreBounded(t *testing.T) {
	s := serve(t, memcluster.Options{})
	client := entryv1.NewEntryClient(s.conn)
	_, err := client.BatchDeleteEntry(t.Context(), &entryv1.BatchDeleteEntryRequest{Ids: make([]string, 1001)})
	wantCode(t, err, codes.InvalidArgument)
	big := &types.Entry{SpiffeId: id("/big"), Selectors: selectors("uid:1"), Hint: strings.Repeat("x", 3<<20)}
	_, err = client.BatchCreateEntry(t.Context(), &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{big}})
	wantCode(t, err, codes.ResourceExhausted)
	huge := &types.Entry{Hint: strings.Repeat("x", 5<<20)}
	_, err = client.BatchCreateEntry(t.Context(), &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{huge}})
	wantCode(t, err, codes.ResourceExhausted)
}

func TestAnAnswerWithLargeExistingEntriesStaysUnderAMessage(t *testing.T) {
	s := serve(t, memcluster.Options{})
	var large, small []*types.Entry
	for i := range 21 {
		e := &types.Entry{SpiffeId: id(fmt.Sprint("/w", i)), Selectors: selectors(fmt.Sprint("uid:", i))}
		small = append(small, e)
		e = proto.CloneOf(e)
		for j := range 1000 {
			e.FederatesWith = append(e.FederatesWith, fmt.Sprintf("d%d.%s.example", j, strings.Repeat("x", 190)))
		}
		large = append(large, e)
	}
	for batch := range 3 {
		for _, r := range createEntries(t, s, large[7*batch:7*batch+7]...) {
			wantStatus(t, r.Status, codes.OK)
		}
	}
	left := 0
	for _, r := range createEntries(t, s, small...) {
		wantStatus(t, r.Status, codes.AlreadyExists)
		if r.Entry == nil {
			left++
		}
	}
	if left == 0 || left == len(small) {
		t.Errorf("%d of %d entries were left out", left, len(small))
	}
	next, pages, seen := "", 0, 0
	for {
		list, err := entryv1.NewEntryClient(s.conn).ListEntries(t.Context(), &entryv1.ListEntriesRequest{PageToken: next})
		if err != nil {
			t.Fatal(err)
		}
		pages, seen, next = pages+1, seen+len(list.Entries), list.NextPageToken
		if next == "" {
			break
		}
	}
	if pages < 2 || seen != len(large) {
		t.Errorf("%d pages show %d entries, want %d on more than one", pages, seen, len(large))
	}
}

func TestBatchUpdateEntryChangesWhatTheMaskNames(t *testing.T) {
	s := serve(t, memcluster.Options{})
	createEntries(t, s, full())
	client := entryv1.NewEntryClient(s.conn)
	resp, err := client.BatchUpdateEntry(t.Context(), &entryv1.BatchUpdateEntryRequest{
		Entries:    []*types.Entry{{Id: "web-1", Hint: "external", SpiffeId: id("not an ID"), X509SvidTtl: -5}},
		InputMask:  &types.EntryMask{Hint: true},
		OutputMask: &types.EntryMask{Hint: true, RevisionNumber: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, resp.Results[0].Status, codes.OK)
	if want := (&types.Entry{Id: "web-1", Hint: "external", RevisionNumber: 1}); !proto.Equal(resp.Results[0].Entry, want) {
		t.Errorf("shown %v, want %v", resp.Results[0].Entry, want)
	}
	got, err := client.GetEntry(t.Context(), &entryv1.GetEntryRequest{Id: "web-1"})
	want := full()
	want.Hint, want.RevisionNumber, want.CreatedAt = "external", 1, got.GetCreatedAt()
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("stored %v, %v, want %v", got, err, want)
	}
}

func TestBatchUpdateEntryWithoutMaskReplacesAll(t *testing.T) {
	s := serve(t, memcluster.Options{})
	createEntries(t, s, full())
	resp, err := entryv1.NewEntryClient(s.conn).BatchUpdateEntry(t.Context(), &entryv1.BatchUpdateEntryRequest{Entries: []*types.Entry{
		{Id: "web-1", SpiffeId: id("/web2"), ParentId: id("/p"), Selectors: selectors("uid:9")},
		{Id: "none", SpiffeId: id("/web2"), Selectors: selectors("uid:8")},
		{Id: "web-1", SpiffeId: id("/web2")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, resp.Results[0].Status, codes.OK)
	wantStatus(t, resp.Results[1].Status, codes.NotFound)
	wantStatus(t, resp.Results[2].Status, codes.InvalidArgument)
	if e := resp.Results[0].Entry; e.Hint != "" || len(e.DnsNames) != 0 || e.Admin || e.RevisionNumber != 1 {
		t.Errorf("replaced by %v", e)
	}
}

func TestAMaskThatNamesNothingChangesNothing(t *testing.T) {
	s := serve(t, memcluster.Options{})
	createEntries(t, s, full())
	resp, err := entryv1.NewEntryClient(s.conn).BatchUpdateEntry(t.Context(), &entryv1.BatchUpdateEntryRequest{
		Entries: []*types.Entry{{Id: "web-1", Hint: "external"}}, InputMask: &types.EntryMask{},
	})
	if err != nil || resp.Results[0].Entry.GetHint() != "internal" || resp.Results[0].Entry.GetRevisionNumber() != 0 {
		t.Errorf("%v, %v", resp, err)
	}
}

// TestEveryEntryMaskFieldShowsItsField shows that a mask with one field shows
// that field and the ID alone.
func TestEveryEntryMaskFieldShowsItsField(t *testing.T) {
	s := serve(t, memcluster.Options{})
	e := full()
	e.Selectors = selectors("uid:1")
	e.StoreSvid = true
	createEntries(t, s, e)
	client := entryv1.NewEntryClient(s.conn)
	if _, err := client.BatchUpdateEntry(t.Context(), &entryv1.BatchUpdateEntryRequest{
		Entries: []*types.Entry{{Id: "web-1", Hint: "external"}}, InputMask: &types.EntryMask{Hint: true},
	}); err != nil {
		t.Fatal(err)
	}
	fields := (&types.EntryMask{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		mask := &types.EntryMask{}
		mask.ProtoReflect().Set(field, protoreflect.ValueOfBool(true))
		got, err := client.GetEntry(t.Context(), &entryv1.GetEntryRequest{Id: "web-1", OutputMask: mask})
		if err != nil {
			t.Fatal(err)
		}
		var shown []string
		got.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			shown = append(shown, string(f.Name()))
			return true
		})
		want := []string{"id", string(field.Name())}
		if field.Name() == "additional_attributes" { // Concord has none
			want = want[:1]
		}
		slices.Sort(shown)
		slices.Sort(want)
		if !slices.Equal(shown, want) {
			t.Errorf("the mask %s shows %v", field.Name(), shown)
		}
	}
}

func TestBatchDeleteEntryAnswersEachID(t *testing.T) {
	s := serve(t, memcluster.Options{})
	createEntries(t, s, full())
	resp, err := entryv1.NewEntryClient(s.conn).BatchDeleteEntry(t.Context(), &entryv1.BatchDeleteEntryRequest{Ids: []string{"web-1", "none", "", "web-1"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []codes.Code{codes.OK, codes.NotFound, codes.InvalidArgument, codes.NotFound} {
		wantStatus(t, resp.Results[i].Status, want)
	}
	if resp.Results[0].Id != "web-1" || resp.Results[1].Id != "none" {
		t.Errorf("results are not in order: %v", resp.Results)
	}
}

func TestListAndCountEntriesFilter(t *testing.T) {
	s := serve(t, memcluster.Options{})
	other := full()
	other.Id, other.SpiffeId, other.Hint, other.Downstream, other.FederatesWith = "api-1", id("/api"), "external", false, nil
	createEntries(t, s, full(), other)
	client := entryv1.NewEntryClient(s.conn)
	for name, f := range map[string]struct {
		filter *entryv1.ListEntriesRequest_Filter
		want   string
	}{
		"nothing":         {nil, "api-1 web-1"},
		"an empty filter": {&entryv1.ListEntriesRequest_Filter{}, "api-1 web-1"},
		"SPIFFE ID":       {&entryv1.ListEntriesRequest_Filter{BySpiffeId: id("/web")}, "web-1"},
		"parent":          {&entryv1.ListEntriesRequest_Filter{ByParentId: id("/none")}, ""},
		"hint":            {&entryv1.ListEntriesRequest_Filter{ByHint: wrapperspb.String("external")}, "api-1"},
		"downstream":      {&entryv1.ListEntriesRequest_Filter{ByDownstream: wrapperspb.Bool(false)}, "api-1"},
		"selectors": {&entryv1.ListEntriesRequest_Filter{BySelectors: &types.SelectorMatch{
			Selectors: selectors("uid:1"), Match: types.SelectorMatch_MATCH_SUPERSET}}, "api-1 web-1"},
		"selectors, exactly": {&entryv1.ListEntriesRequest_Filter{BySelectors: &types.SelectorMatch{Selectors: selectors("uid:1")}}, ""},
		"federates with": {&entryv1.ListEntriesRequest_Filter{ByFederatesWith: &types.FederatesWithMatch{
			TrustDomains: []string{"spiffe://bank.example"}, Match: types.FederatesWithMatch_MATCH_ANY}}, "web-1"},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := client.ListEntries(t.Context(), &entryv1.ListEntriesRequest{Filter: f.filter, OutputMask: &types.EntryMask{}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range list.Entries {
				got = append(got, e.Id)
			}
			if strings.Join(got, " ") != f.want {
				t.Errorf("listed %v, want %s", got, f.want)
			}
			count := &entryv1.CountEntriesRequest{}
			if f.filter != nil {
				wire, err := proto.Marshal(f.filter)
				if err != nil {
					t.Fatal(err)
				}
				count.Filter = &entryv1.CountEntriesRequest_Filter{}
				if err := proto.Unmarshal(wire, count.Filter); err != nil {
					t.Fatal(err)
				}
			}
			if n, err := client.CountEntries(t.Context(), count); err != nil || int(n.Count) != len(got) {
				t.Errorf("counted %v, %v, want %d", n, err, len(got))
			}
		})
	}
}

func TestFiltersAreRefusedWhenTheyMakeNoSense(t *testing.T) {
	s := serve(t, memcluster.Options{})
	for name, f := range map[string]*entryv1.ListEntriesRequest_Filter{
		"a malformed ID":     {BySpiffeId: id("no slash")},
		"a malformed parent": {ByParentId: &types.SPIFFEID{}},
		"no selectors":       {BySelectors: &types.SelectorMatch{}},
		"an unknown match":   {BySelectors: &types.SelectorMatch{Selectors: selectors("uid:1"), Match: 77}},
		"a negative match":   {BySelectors: &types.SelectorMatch{Selectors: selectors("uid:1"), Match: -1}},
		"no trust domains":   {ByFederatesWith: &types.FederatesWithMatch{}},
		"a malformed domain": {ByFederatesWith: &types.FederatesWithMatch{TrustDomains: []string{"a b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := entryv1.NewEntryClient(s.conn).ListEntries(t.Context(), &entryv1.ListEntriesRequest{Filter: f})
			wantCode(t, err, codes.InvalidArgument)
		})
	}
}

func TestListEntriesPages(t *testing.T) {
	s := serve(t, memcluster.Options{})
	for i := range 5 {
		createEntries(t, s, &types.Entry{SpiffeId: id(fmt.Sprint("/w", i)), Selectors: selectors(fmt.Sprint("uid:", i))})
	}
	client, seen, next := entryv1.NewEntryClient(s.conn), map[string]bool{}, ""
	for page := range 3 {
		list, err := client.ListEntries(t.Context(), &entryv1.ListEntriesRequest{PageSize: 2, PageToken: next})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Entries {
			seen[e.Id] = true
		}
		if next = list.NextPageToken; (next == "") != (page == 2) {
			t.Errorf("page %d leads to %q", page, next)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d entries were shown, want 5", len(seen))
	}
	for _, bad := range []*entryv1.ListEntriesRequest{{PageToken: "7"}, {PageToken: "x!"}, {PageSize: -1}} {
		_, err := client.ListEntries(t.Context(), bad)
		wantCode(t, err, codes.InvalidArgument)
	}
}

func TestACallSaysItsRequestIDAndCause(t *testing.T) {
	s := serve(t, memcluster.Options{})
	ctx := metadata.AppendToOutgoingContext(t.Context(), spireapi.RequestIDHeader, "req-1", spireapi.CauseHeader, "ticket 7")
	client := entryv1.NewEntryClient(s.conn)
	s.AfterPropose(func(state.Command) error { return errors.New("the answer was lost") })
	first, err := client.BatchCreateEntry(ctx, &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{full(), {SpiffeId: id("/b"), Selectors: selectors("uid:2")}}})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, first.Results[0].Status, codes.Internal)
	s.AfterPropose(nil)
	again, err := client.BatchCreateEntry(ctx, &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{full(), {SpiffeId: id("/b"), Selectors: selectors("uid:2")}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range again.Results {
		wantStatus(t, r.Status, codes.OK)
	}
	if n := s.View().EntryCount(); n != 2 {
		t.Errorf("there are %d entries, want 2", n)
	}
	records := s.Records()
	if last := records[len(records)-1]; last.Cause != "ticket 7" || !strings.HasPrefix(last.RequestID, "req-1.") {
		t.Errorf("the trail says %+v", last)
	}
	createEntries(t, s, &types.Entry{SpiffeId: id("/c"), Selectors: selectors("uid:3")})
	records = s.Records()
	if last := records[len(records)-1]; last.Cause != "/spire.api.server.entry.v1.Entry/BatchCreateEntry" {
		t.Errorf("without a cause the trail says %q", last.Cause)
	}
}

func TestInternalErrorsAreLoggedAndNotShown(t *testing.T) {
	s := serve(t, memcluster.Options{})
	s.BeforePropose(func(state.Command) error { return errors.New("disk /dev/secret is on fire") })
	r := createEntries(t, s, full())[0]
	wantStatus(t, r.Status, codes.Internal)
	if r.Status.Message != "internal error" {
		t.Errorf("shown %q", r.Status.Message)
	}
	if log := s.log.String(); !strings.Contains(log, "disk /dev/secret is on fire") || !strings.Contains(log, "BatchCreateEntry") {
		t.Errorf("logged %q", log)
	}
}
