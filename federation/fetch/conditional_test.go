package fetch_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/fetch"
)

// conditions records the If-None-Match of each request.
type conditions struct {
	mu   sync.Mutex
	seen []string
}

func (c *conditions) of(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.seen = append(c.seen, r.Header.Get("If-None-Match"))
		c.mu.Unlock()
		next(w, r)
	}
}

func (c *conditions) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[len(c.seen)-1]
}

// followed is a peer that https_web follows, and the pool that follows it.
func followed(t *testing.T, bank *authority, serve http.HandlerFunc) (*peer, *ledger, *fetch.Pool, *conditions) {
	t.Helper()
	ca, seen := newAuthority(t, "web"), &conditions{}
	p := newPeer(t, ca.web(), seen.of(serve))
	l := newLedger()
	l.relate(web(bank.td, p.url, ca))
	return p, l, run(t, l, fetch.Options{}), seen
}

func tagged(tag string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		next(w, r)
	}
}

func TestAnUnchangedBundleIsNeitherSentNorStored(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	b := bundle(bank.td, 2, time.Minute, bank)
	p, l, pool, seen := followed(t, bank, document(t, b))
	first := succeeding(t, pool, bank.td)
	for range 5 {
		succeeding(t, pool, bank.td)
	}
	if n := len(l.stored()); n != 1 {
		t.Errorf("%d bundles stored, want 1", n)
	}
	if want := publish(t, b).ETag; seen.last() != want {
		t.Errorf("If-None-Match %q, want %q", seen.last(), want)
	}
	s := succeeding(t, pool, bank.td)
	if s.Changes != 1 || s.Bytes != len(publish(t, b).Document) || s.LastSuccess.Before(first.LastSuccess) {
		t.Errorf("status %+v", s)
	}
	if n := p.conns.Load(); n > 2 {
		t.Errorf("%d connections for polls a minute apart", n)
	}
}

func TestABundleWithoutTagIsComparedByContent(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	_, l, pool, seen := followed(t, bank, honest(t, bank, 2)) // go-spiffe sends no tag and another order of members
	for range 3 {
		succeeding(t, pool, bank.td)
	}
	if n := len(l.stored()); n != 1 || seen.last() != "" {
		t.Errorf("%d bundles stored, If-None-Match %q", n, seen.last())
	}
}

func TestFD_38_AnOperatorsUpdateIsFetchedOverInFull(t *testing.T) {
	bank, other := newAuthority(t, "bank.example"), newAuthority(t, "bank.example")
	b := bundle(bank.td, 5, time.Minute, bank)
	_, l, pool, seen := followed(t, bank, document(t, b))
	succeeding(t, pool, bank.td)
	succeeding(t, pool, bank.td)
	l.set(publish(t, bundle(bank.td, 4, time.Minute, other)))
	if s := succeeding(t, pool, bank.td); seen.last() != "" || s.Sequence != 5 {
		t.Errorf("If-None-Match %q, sequence %d", seen.last(), s.Sequence)
	}
}

func TestATagIsRememberedOnlyForADocumentThatWasAccepted(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	accepted := bundle(bank.td, 5, time.Minute, bank)
	p, _, pool, seen := followed(t, bank, document(t, accepted))
	succeeding(t, pool, bank.td)
	for name, refused := range map[string]http.HandlerFunc{
		"FD_36 an older bundle": tagged(`"older"`, honest(t, bank, 4)),
		"not a bundle":          tagged(`"bad"`, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }),
		"a failure":             tagged(`"failure"`, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }),
	} {
		t.Run(name, func(t *testing.T) {
			p.now(seen.of(refused))
			for range 2 {
				if s := refresh(t, pool, bank.td); s.LastError == "" || s.Sequence != 5 {
					t.Errorf("status %+v", s)
				}
			}
			if want := publish(t, accepted).ETag; seen.last() != want {
				t.Errorf("If-None-Match %q, want %q", seen.last(), want)
			}
		})
	}
}

func TestATagThatIsNoneIsNotSentBack(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	p, _, pool, _ := followed(t, bank, honest(t, bank, 2))
	for tag, want := range map[string]string{
		`"a-1"`:                              `"a-1"`,
		`W/"a-1"`:                            `W/"a-1"`,
		`a-1`:                                "",
		`"a`:                                 "",
		`"`:                                  "",
		`"a"b"`:                              "",
		`"a b"`:                              "",
		"\"\xc3\xa4\"":                       "",
		`"` + strings.Repeat("a", 255) + `"`: "",
	} {
		p.now(tagged(tag, honest(t, bank, 2)))
		succeeding(t, pool, bank.td)
		p.now(func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("If-None-Match"); got != want {
				t.Errorf("after ETag %q came If-None-Match %q, want %q", tag, got, want)
			}
			honest(t, bank, 2)(w, r)
		})
		succeeding(t, pool, bank.td)
	}
}

func TestATagIsSentOnlyToTheURLThatGaveIt(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	atStart, atTarget := &conditions{}, &conditions{}
	b := document(t, bundle(bank.td, 2, time.Minute, bank))
	target := newPeer(t, ca.web(), atTarget.of(b))
	start := newPeer(t, ca.web(), atStart.of(redirect(target.url+"/b")))
	l := newLedger()
	l.relate(web(bank.td, start.url, ca))
	pool := run(t, l, fetch.Options{})
	succeeding(t, pool, bank.td)
	succeeding(t, pool, bank.td)
	if atStart.last() != "" || atTarget.last() == "" {
		t.Errorf("If-None-Match at the start %q, at the target %q", atStart.last(), atTarget.last())
	}
}

func TestFreezePastTheEndOfEveryKeyIsAlarmed(t *testing.T) {
	ended := newAuthority(t, "bank.example", brief)
	p, _, pool, _ := followed(t, ended, document(t, bundle(ended.td, 2, time.Minute, ended)))
	for range 3 { // a document and then only "not modified"
		s := succeeding(t, pool, ended.td)
		if len(s.Alarms) != 1 || !strings.Contains(s.Alarms[0], "every X.509 authority of bank.example has ended") {
			t.Errorf("alarms %q", s.Alarms)
		}
	}
	renewed := newAuthority(t, "bank.example")
	p.now(document(t, bundle(ended.td, 3, time.Minute, ended, renewed)))
	if s := succeeding(t, pool, ended.td); len(s.Alarms) != 0 || s.State != federation.StateActive {
		t.Errorf("status %+v", s)
	}
}
