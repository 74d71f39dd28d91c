package endpoint_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/endpoint"
)

// ask sends a request to h; known are the values of If-None-Match.
func ask(t testing.TB, h http.Handler, method, target string, known ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for _, k := range known {
		r.Header.Add("If-None-Match", k)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestFD_1_FD_13_FD_14_GETAnswersWithTheBundle(t *testing.T) {
	p := newDomain(t).publish(t, 7)
	h := endpoint.NewHandler(newLedger(p))
	for _, target := range []string{"/", "/?v=1"} {
		w := ask(t, h, "GET", target)
		if w.Code != 200 || w.Body.String() != string(p.Document) {
			t.Fatalf("%s: %d %s", target, w.Code, w.Body)
		}
		if _, ignored, err := federation.Parse(bank, w.Body.Bytes()); err != nil || len(ignored) > 0 {
			t.Error(err, ignored)
		}
		for name, want := range map[string]string{"Etag": p.ETag, "Content-Type": "application/json", "Cache-Control": "max-age=6, must-revalidate", "Age": ""} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if !utf8.Valid(w.Body.Bytes()) || !json.Valid(w.Body.Bytes()) {
			t.Error("not UTF-8 JSON")
		}
	}
}

func TestHEADAnswersWithTheHeaderOfGET(t *testing.T) {
	p := newDomain(t).publish(t, 7)
	h := endpoint.NewHandler(newLedger(p))
	get, head := ask(t, h, "GET", "/"), ask(t, h, "HEAD", "/")
	if head.Code != 200 || head.Body.Len() != 0 {
		t.Errorf("%d, %d bytes", head.Code, head.Body.Len())
	}
	for name := range get.Header() {
		if get.Header().Get(name) != head.Header().Get(name) {
			t.Errorf("%s: %q and %q", name, get.Header().Get(name), head.Header().Get(name))
		}
	}
	if ask(t, h, "HEAD", "/", p.ETag).Code != 304 {
		t.Error("HEAD is not conditional")
	}
}

func TestFD_15_FD_16_ElsewhereThereIsNothingAndNoRedirect(t *testing.T) {
	h := endpoint.NewHandler(newLedger(newDomain(t).publish(t, 7)))
	for _, path := range []string{"/bundle", "/index.html", "//", "/%2e%2e/", "/."} {
		if w := ask(t, h, "GET", path); w.Code != 404 || w.Header().Get("Etag") != "" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"} {
		if w := ask(t, h, method, "/"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if c := h.Counts(); c.Refused != 13 || c.Served != 0 {
		t.Errorf("%+v", c)
	}
}

func TestIfNoneMatch(t *testing.T) {
	p := newDomain(t).publish(t, 7)
	h := endpoint.NewHandler(newLedger(p))
	tag := p.ETag
	hash := tag[strings.Index(tag, "-"):]
	for _, tc := range []struct {
		name  string
		known []string
		code  int
	}{
		{"the tag", []string{tag}, 304},
		{"weak", []string{"W/" + tag}, 304},
		{"any", []string{"*"}, 304},
		{"any with white space", []string{" * "}, 304},
		{"first of a list", []string{tag + `, "other"`}, 304},
		{"last of a list", []string{`"other", W/"more",` + tag}, 304},
		{"a comma inside a tag", []string{`"a,b", ` + tag}, 304},
		{"empty elements", []string{`,, ,` + tag}, 304},
		{"another header line", []string{`"other"`, tag}, 304},
		{"none", nil, 200},
		{"empty", []string{""}, 200},
		{"another", []string{`"other"`}, 200},
		{"older", []string{`"6` + hash}, 200},
		{"the same sequence of another content", []string{`"7-00000000000000000000000000000000"`}, 200},
		{"without quotes", []string{strings.Trim(tag, `"`)}, 200},
		{"never ends", []string{tag[:len(tag)-1]}, 200},
		{"garbage before", []string{"garbage, " + tag}, 200},
		{"lower-case weak", []string{"w/" + tag}, 200},
		{"a large number of another shape", []string{`"99999-abc"`}, 200},
		{"a sequence beyond 64 bits", []string{`"18446744073709551616` + hash}, 200},
		{"a negative sequence", []string{`"-7` + hash}, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := ask(t, h, "GET", "/", tc.known...)
			if w.Code != tc.code {
				t.Fatalf("%d, want %d", w.Code, tc.code)
			}
			if w.Header().Get("Etag") != tag || w.Header().Get("Cache-Control") == "" {
				t.Errorf("header %v", w.Header())
			}
			if w.Code == 304 && (w.Body.Len() > 0 || w.Header().Get("Content-Type") != "") {
				t.Errorf("304 with a body or its type: %v", w.Header())
			}
		})
	}
}

func TestFD_12_NeverOlderThanTheAskerHasSeen(t *testing.T) {
	d := newDomain(t)
	six, seven := d.publish(t, 6), d.publish(t, 7)
	t.Run("FD_12 a node that catches up answers then", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLedger(six)
			h := endpoint.NewHandler(l)
			time.AfterFunc(300*time.Millisecond, func() { l.set(endpoint.Current{Bundle: seven}) })
			start := time.Now()
			w := ask(t, h, "GET", "/", seven.ETag)
			if w.Code != 304 || time.Since(start) != 300*time.Millisecond {
				t.Errorf("%d after %v", w.Code, time.Since(start))
			}
		})
	})
	t.Run("FD_12 a node that stays behind says so after a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := endpoint.NewHandler(newLedger(six))
			start := time.Now()
			w := ask(t, h, "GET", "/", `"1-x", `+seven.ETag)
			if w.Code != 503 || time.Since(start) != time.Second || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Retry-After") != "1" {
				t.Errorf("%d after %v: %v", w.Code, time.Since(start), w.Header())
			}
			if ask(t, h, "GET", "/").Code != 200 {
				t.Error("who has seen nothing newer is not served")
			}
			if c := h.Counts(); c.Unavailable != 1 || c.Served != 1 {
				t.Errorf("%+v", c)
			}
		})
	})
	t.Run("FD_12 a change is served at once", func(t *testing.T) {
		l := newLedger(six)
		h := endpoint.NewHandler(l)
		for _, p := range []*federation.Published{six, seven, six, seven} {
			l.set(endpoint.Current{Bundle: p})
			if w := ask(t, h, "GET", "/"); w.Body.String() != string(p.Document) || w.Header().Get("Etag") != p.ETag {
				t.Errorf("%s", w.Body)
			}
		}
	})
}

func TestFD_12_WithoutALeader(t *testing.T) {
	p := newDomain(t).publish(t, 7)
	l := newLedger(p)
	h := endpoint.NewHandler(l)
	l.set(endpoint.Current{Bundle: p, Age: 90 * time.Second})
	for _, known := range []string{"", p.ETag} {
		w := ask(t, h, "GET", "/", known)
		if w.Header().Get("Age") != "90" || w.Header().Get("Cache-Control") != "max-age=0, must-revalidate" || w.Code >= 400 {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
	for name, c := range map[string]endpoint.Current{
		"past the staleness limit": {Bundle: p, Age: time.Hour, Stale: true},
		"no leader since start":    {Bundle: p, Stale: true},
		"no bundle":                {},
	} {
		l.set(c)
		for _, known := range []string{"", p.ETag, "*"} {
			if w := ask(t, h, "GET", "/", known); w.Code != 503 || strings.Contains(w.Body.String(), "keys") {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
	}
}

func TestCacheControlIsATenthOfTheHint(t *testing.T) {
	for hint, want := range map[time.Duration]string{
		0:                "max-age=0, must-revalidate",
		5 * time.Second:  "max-age=0, must-revalidate",
		time.Minute:      "max-age=6, must-revalidate",
		10 * time.Minute: "max-age=60, must-revalidate",
	} {
		p, err := federation.Publish(&federation.Bundle{TrustDomain: bank, Hint: hint, Hinted: hint > 0})
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(t, endpoint.NewHandler(newLedger(p)), "GET", "/").Header().Get("Cache-Control"); got != want {
			t.Errorf("hint %v: %q, want %q", hint, got, want)
		}
	}
}

// blank is a ResponseWriter that keeps nothing.
type blank struct{ header http.Header }

func (b blank) Header() http.Header         { return b.header }
func (b blank) WriteHeader(int)             {}
func (b blank) Write(p []byte) (int, error) { return len(p), nil }

func TestAnswersAreMadeBeforehand(t *testing.T) {
	p := newDomain(t).publish(t, 7)
	h := endpoint.NewHandler(newLedger(p))
	for name, known := range map[string]string{"200": "", "304": p.ETag, "304 from a list": `"x", W/` + p.ETag} {
		r := httptest.NewRequest("GET", "/", nil)
		if known != "" {
			r.Header.Set("If-None-Match", known)
		}
		w := blank{make(http.Header)}
		if n := testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }); n > 0 {
			t.Errorf("%s: %v allocations a request", name, n)
		}
	}
}

// FuzzIfNoneMatch: whatever an asker says to know, an answer is whole or empty.
func FuzzIfNoneMatch(f *testing.F) {
	d := newDomain(f)
	p := d.publish(f, 1<<64-1) // nobody has seen a newer one, so nobody waits
	h := endpoint.NewHandler(newLedger(p))
	for _, s := range []string{"*", p.ETag, "W/" + p.ETag, `"a", "b"`, `"`, `W/`, `,,,"`, `"1-2`, p.ETag + p.ETag} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, known string) {
		w := ask(t, h, "GET", "/", known)
		switch {
		case w.Code == 200 && w.Body.String() == string(p.Document):
			if strings.HasPrefix(known, p.ETag) {
				t.Errorf("%q is not recognized", known)
			}
		case w.Code == 304 && w.Body.Len() == 0:
			if strings.TrimSpace(known) != "*" && !strings.Contains(known, p.ETag) {
				t.Errorf("%q is taken for %s", known, p.ETag)
			}
		default:
			t.Errorf("%q: %d", known, w.Code)
		}
	})
}
