package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/audit"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/tests/memcluster"
)

// trail is a real audit trail, as a node shows it to the registrar. fail, if it
// is not nil, is what reading ends with.
type trail struct {
	*audit.Trail
	fail error
}

func (l *trail) Records(ctx context.Context, f registrar.AuditFilter) iter.Seq2[registrar.AuditRecord, error] {
	wanted := audit.Filter{
		Actor: f.Actor, Kind: f.Kind, Subject: f.Subject, RequestID: f.RequestID, Refused: f.Refused,
		Since: f.From, Until: f.To, After: f.After, Before: f.Before, Limit: f.Limit,
	}
	return func(yield func(registrar.AuditRecord, error) bool) {
		if f.Follow && l.fail == nil {
			l.Follow(ctx, wanted)(yield)
			return
		}
		records, err := l.Query(ctx, wanted)
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
		if err = errors.Join(err, l.fail); err != nil {
			yield(registrar.AuditRecord{}, err)
		}
	}
}

func (l *trail) Verify(context.Context) (registrar.AuditReport, error) {
	return registrar.AuditReport{Records: 17, Restored: 4, Missing: []registrar.AuditGap{{From: 5, Until: 9, Reason: "a snapshot"}}}, l.fail
}

// audited is a cluster with a real audit trail, served by server.
func audited(t testing.TB, server *http.Server) (*served, *trail) {
	t.Helper()
	s := &served{Cluster: memcluster.New(t, acme, memcluster.Options{}), log: &lockedBuffer{}}
	kept, err := audit.Open(audit.Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	write := func(state.Command) error {
		for _, r := range s.Records()[written:] {
			written++
			if err := kept.Append(r); err != nil {
				return err
			}
		}
		return nil
	}
	if err := write(nil); err != nil {
		t.Fatal(err)
	}
	s.AfterPropose(write)
	l := &trail{Trail: kept}
	s.Registrar = registrar.New(registrar.Parts{
		Ledger: s.Ledger, Peers: s.Peers, Signer: s.Signer, Trail: l, Staleness: memcluster.Staleness,
		Node: func() registrar.NodeStatus { return s.Status }, Log: slog.New(slog.DiscardHandler), Level: s.Level,
	})
	s.listen(t, s.Registrar, server)
	t.Cleanup(func() {
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, l
}

// createNumbered creates an entry, and returns the log index.
func (s *served) createNumbered(t testing.TB, n int, change ...func(*http.Request)) uint64 {
	t.Helper()
	e := client.Entry{ID: fmt.Sprintf("e%d", n), SPIFFEID: "spiffe://acme.example/x", Selectors: []string{fmt.Sprintf("unix:uid:%d", n)}}
	a := s.ask(t, http.MethodPost, "/v1/entries", e, change...)
	return read[client.Outcome[client.Entry]](t, a, http.StatusCreated).Index
}

func TestTheTrailIsAskedForRecords(t *testing.T) {
	s, _ := audited(t, &http.Server{})
	began := time.Now()
	first := s.createNumbered(t, 1, called("r-1"))
	second := s.createNumbered(t, 2, header(client.CauseHeader, "CHG-1"))
	s.ask(t, http.MethodDelete, "/v1/entries/e3", nil) // refused
	all := get[client.AuditRecords](t, s, "/v1/audit").Records
	if len(all) != 4 || all[0].Kind != "bootstrap" {
		t.Fatalf("recorded %+v", all)
	}
	one := all[1]
	if one.Index != first || one.Actor != "test:admin" || one.Subject != "entry/e1" || one.Refused != "" || len(one.Head) != 64 || !strings.HasPrefix(one.RequestID, "r-1.") ||
		len(one.Fields) == 0 || one.Fields[0].Record != "entry/e1" || one.Fields[0].Name == "" || one.Fields[0].After == "" {
		t.Errorf("record %+v", one)
	}
	if r := all[3]; r.Refused != "not_found" || !strings.Contains(r.Detail, "e3") || len(r.Fields) != 0 {
		t.Errorf("record of a refusal %+v", r)
	}
	if all[2].Cause != "CHG-1" {
		t.Errorf("the cause is %q", all[2].Cause)
	}
	at := func(t time.Time) string { return url.QueryEscape(t.Format(time.RFC3339Nano)) }
	for query, want := range map[string]string{
		"actor=test:admin": "e1 e2 e3", "actor=test:*": "e1 e2 e3", "actor=tes": "", "kind=put_entry": "e1 e2", "kind=delete*": "e3",
		"subject=entry/e2": "e2", "refused=true": "e3", "refused=false&subject=entry/*": "e1 e2 e3", "request_id=" + one.RequestID: "e1",
		"limit=2": "e2 e3", fmt.Sprintf("after=%d", first): "e2 e3", fmt.Sprintf("after=0&before=%d&subject=entry/*", second): "e1",
		"since=" + at(began) + "&limit=10": "e1 e2 e3", "until=" + at(began) + "&subject=entry/*": "", "since=" + at(time.Now().Add(time.Hour)): "",
	} {
		t.Run(query, func(t *testing.T) {
			var found []string
			for _, r := range get[client.AuditRecords](t, s, "/v1/audit?"+query).Records {
				found = append(found, strings.TrimPrefix(r.Subject, "entry/"))
			}
			if got := strings.Join(found, " "); got != want {
				t.Errorf("found %q, want %q", got, want)
			}
		})
	}
	for query, says := range map[string]string{
		"limit=0": "from 1 to 10000", "limit=10001": "from 1 to 10000", "after=-1": "after", "before=0": "before", "since=yesterday": "RFC 3339",
		"until=1": "RFC 3339", "refused=": "refused", "follow=1": "follow", "follow=true&limit=1": "no end", "kin=x": `nearest is "kind"`,
		"since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z": "not after its beginning",
	} {
		wantError(t, s.ask(t, http.MethodGet, "/v1/audit?"+query, nil, wrong), http.StatusBadRequest, "invalid_argument", says)
	}
}

func TestABrokenTrailSaysWhereAndIsNotShown(t *testing.T) {
	s, l := audited(t, &http.Server{})
	if v := get[client.AuditVerified](t, s, "/v1/audit/verify"); v.Records != 17 || v.Restored != 4 || len(v.Missing) != 1 || v.Missing[0] != (client.AuditGap{From: 5, Until: 9, Reason: "a snapshot"}) {
		t.Errorf("verified %+v", v)
	}
	l.fail = errors.New("line 3 of 0.jsonl does not follow")
	wantError(t, s.ask(t, http.MethodGet, "/v1/audit/verify", nil), http.StatusConflict, "failed_precondition", "line 3")
	wantError(t, s.ask(t, http.MethodGet, "/v1/audit", nil), http.StatusInternalServerError, "internal")
	a := s.ask(t, http.MethodGet, "/v1/audit?follow=true&after=0", nil)
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	var end client.Error
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || end.Error.Code != "internal" || a.status != http.StatusOK {
		t.Errorf("ended with %s, %v", lines[len(lines)-1], err)
	}
	l.fail = broker.Refuse(broker.Unavailable, "this node is stopping")
	a = s.ask(t, http.MethodGet, "/v1/audit?follow=true&after=0", nil)
	if !strings.HasSuffix(string(a.body), `{"error":{"code":"unavailable","detail":"this node is stopping"}}`+"\n") {
		t.Errorf("ended with %s", a.body)
	}
}

// follow opens a stream, and returns what reads its next record.
func (s *served) follow(t testing.TB, query string) (next func() client.AuditRecord, leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://concord/v1/audit?follow=true"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if got := response.Header.Get("Content-Type"); got != client.StreamType {
		t.Errorf("the stream is %s", got)
	}
	doc, _ := described(t)
	schema := doc.Components.Schemas["AuditRecord"].Value
	lines := bufio.NewReader(response.Body)
	return func() (r client.AuditRecord) {
			t.Helper()
			line, err := lines.ReadBytes('\n')
			var plain any
			if err == nil {
				err = errors.Join(json.Unmarshal(line, &plain), json.Unmarshal(line, &r))
			}
			if err == nil {
				err = schema.VisitJSON(plain)
			}
			if err != nil {
				t.Fatalf("next record: %s: %v", line, err)
			}
			return r
		}, func() {
			cancel()
			io.Copy(io.Discard, response.Body) // until the end that cancel makes
			response.Body.Close()
		}
}

// TestTheTrailIsFollowed shows that a record is there as soon as it is
// written, also long after the server's deadlines for requests are over.
func TestTheTrailIsFollowed(t *testing.T) {
	const patience = 100 * time.Millisecond
	s, _ := audited(t, &http.Server{ReadTimeout: patience, WriteTimeout: patience})
	hasty := *s
	s.listen(t, s.Registrar, &http.Server{})
	s.createNumbered(t, 0)
	newest, leaveNewest := hasty.follow(t, "&kind=put_entry")
	defer leaveNewest()
	whole, leaveWhole := hasty.follow(t, "&after=0&subject=entry/*")
	defer leaveWhole()
	if r := whole(); r.Subject != "entry/e0" {
		t.Errorf("the trail begins with %+v", r)
	}
	for n, began := 1, time.Now(); time.Since(began) < 2*patience; n++ {
		index := s.createNumbered(t, n)
		for _, next := range []func() client.AuditRecord{newest, whole} {
			if r := next(); r.Index != index {
				t.Fatalf("record %d came, want %d", r.Index, index)
			}
		}
	}
}

func TestOneWhoFollowsAndGoesIsLetGo(t *testing.T) {
	server := &http.Server{}
	s, _ := audited(t, server)
	next, leave := s.follow(t, "&after=0")
	next()
	leave()
	if err := server.Shutdown(t.Context()); err != nil { // waits for every request that goes on
		t.Error(err)
	}
}
