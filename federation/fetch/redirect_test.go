package fetch_test

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/concord-id/concord/federation/fetch"
)

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

func TestFD_26_RedirectsLeadOnlyToWhereAnEndpointMayBe(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	p := newPeer(t, ca.web(), nil)
	for name, row := range map[string]struct {
		serve http.HandlerFunc
		say   string
	}{
		"to http":              {redirect(strings.Replace(p.url, "https:", "http:", 1)), "scheme must be https"},
		"to a file":            {redirect("file:///etc/passwd"), "scheme must be https"},
		"to user information":  {redirect("https://user:pw@127.0.0.1/"), "no user"},
		"to no host":           {redirect("https:///bundle"), "no host"},
		"to nothing readable":  {redirect("https://[::1/%zz"), "no URL"},
		"to a very long place": {redirect("/" + strings.Repeat("a", 4000)), "the most is"},
		"to nowhere":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }, "without one Location"},
		"to itself":            {redirect(p.url + "/start"), "in a circle"},
		"in a circle":          {circle, "in a circle"},
		"without end":          {endless, "more than 5 times"},
		"by choice":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMultipleChoices) }, "status 300"},
		"by using a proxy":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUseProxy) }, "status 305"},
		"to two places at once": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Location"] = []string{"/a", "/b"}
			w.WriteHeader(302)
		}, "without one Location"},
	} {
		t.Run(name, func(t *testing.T) {
			p.now(row.serve)
			l := newLedger()
			l.relate(web(bank.td, p.url+"/start", ca))
			before := p.hits.Load()
			s := failing(t, run(t, l, fetch.Options{}), bank.td, row.say)
			if strings.Contains(s.LastError, "pw") {
				t.Errorf("%q shows a password", s.LastError)
			}
			if n := p.hits.Load() - before; n > 12 { // of two polls
				t.Errorf("%d requests", n)
			}
		})
	}
}

func circle(w http.ResponseWriter, r *http.Request) {
	redirect(map[string]string{"/start": "/a", "/a": "/b", "/b": "/start"}[r.URL.Path])(w, r)
}

func endless(w http.ResponseWriter, r *http.Request) { redirect(r.URL.Path+"x")(w, r) }

func TestFD_26_EveryKindOfRedirectIsFollowed(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	p := newPeer(t, ca.web(), func(w http.ResponseWriter, r *http.Request) {
		var hop int
		_, _ = fmt.Sscanf(r.URL.Path, "/hop%d", &hop)
		codes := []int{301, 302, 303, 307, 308}
		if hop == len(codes) {
			honest(t, bank, 4)(w, r)
			return
		}
		w.Header().Set("Location", fmt.Sprintf("hop%d?next", hop+1))
		w.WriteHeader(codes[hop])
	})
	l := newLedger()
	l.relate(web(bank.td, p.url+"/hop0", ca))
	if s := succeeding(t, run(t, l, fetch.Options{}), bank.td); s.Sequence != 4 {
		t.Errorf("status %+v", s)
	}
}

func TestFD_27_EveryHopIsAuthenticatedAlike(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	t.Run("https_spiffe: the same ID", func(t *testing.T) {
		target := newPeer(t, bank.svid(serverPath), honest(t, bank, 2))
		p := newPeer(t, bank.svid(serverPath), redirect(target.url))
		l := newLedger()
		l.set(publish(t, bundle(bank.td, 1, time.Minute, bank)))
		l.relate(spiffe(bank, p.url, serverPath))
		pool := run(t, l, fetch.Options{})
		succeeding(t, pool, bank.td)
		hits := target.hits.Load()
		for _, wrong := range []func(){
			func() { target.presents(bank.svid("/spire/other")) },
			func() { target.presents(impostor(t, bank).svid(serverPath)) },
			func() { target.presents(ca.web()) },
		} {
			wrong()
			failing(t, pool, bank.td, target.url)
		}
		if n := target.hits.Load(); n != hits {
			t.Errorf("%d requests to who is not the peer", n-hits)
		}
	})
	t.Run("https_web: the name of the hop", func(t *testing.T) {
		target := newPeer(t, ca.web(func(c *x509.Certificate) { c.DNSNames = []string{"bank.example"}; c.IPAddresses = nil }), honest(t, bank, 2))
		p := newPeer(t, ca.web(), redirect(onHost(target.url, "www.example")))
		l := newLedger()
		l.relate(web(bank.td, onHost(p.url, "bank.example"), ca))
		failing(t, run(t, l, fetch.Options{Resolver: hosts{"*": {"127.0.0.1"}}}), bank.td, "is for bank.example, not for www.example")
	})
}

func TestFD_28_EveryRefreshStartsAtTheConfiguredURL(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	target := newPeer(t, ca.web(), document(t, bundle(bank.td, 2, time.Minute, bank)))
	var code atomic.Int64
	p := newPeer(t, ca.web(), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", target.url)
		w.WriteHeader(int(code.Load()))
	})
	l := newLedger()
	l.relate(web(bank.td, p.url, ca))
	code.Store(http.StatusMovedPermanently)
	pool := run(t, l, fetch.Options{})
	succeeding(t, pool, bank.td)
	for _, c := range []int64{http.StatusMovedPermanently, http.StatusPermanentRedirect} {
		code.Store(c)
		before := p.hits.Load()
		succeeding(t, pool, bank.td)
		if p.hits.Load() != before+1 {
			t.Errorf("a %d was remembered", c)
		}
	}
	if r, _ := l.View().Relationship(bank.td); r.URL != p.url {
		t.Errorf("the relationship's URL became %s", r.URL)
	}
}
