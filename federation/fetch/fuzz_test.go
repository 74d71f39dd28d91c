package fetch_test

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/concord-id/concord/federation/fetch"
)

// FuzzResponse: whatever comes is within the limits, or is an error fit for a
// person that holds nothing of a body.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		ok200 + "Content-Length: 2\r\nETag: \"a\"\r\n\r\n{}",
		ok200 + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		ok200 + "Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08",
		"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + ok200 + "\r\n{}",
		"HTTP/1.1 304 Not Modified\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: https://other.example/\r\n\r\n",
		"HTTP/1.0 200 OK\n\n{}",
		"HTTP/9.9 200 OK\r\n\r\n",
		ok200 + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		strings.Repeat("\n", 100),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, response []byte) {
		a, err := fetch.Receive(response)
		if err != nil {
			if text := err.Error(); len(text) > 400 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("error %q", text)
			}
			return
		}
		if len(a.Body) > a.MostBody || len(a.ETag) > 256 || len(a.Location) > a.MostHeader {
			t.Errorf("a body of %d, a tag of %d, a location of %d bytes", len(a.Body), len(a.ETag), len(a.Location))
		}
		if a.Body != nil && a.Status != http.StatusOK || a.Location != "" && a.Status/100 != 3 {
			t.Errorf("status %d with body %q and location %q", a.Status, a.Body, a.Location)
		}
		if a.Reusable && a.Status != http.StatusOK && a.Status != http.StatusNotModified {
			t.Errorf("status %d leaves the connection in use", a.Status)
		}
	})
}

// FuzzETag: a tag that is taken goes back as it came, and nothing else with it.
func FuzzETag(f *testing.F) {
	for _, seed := range []string{`"a"`, `W/"1-2"`, `"`, `""`, "\"a\r\nX: y\"", `"a"b"`, `w/"a"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		tag := fetch.ETagOf(value)
		if tag != "" && tag != value {
			t.Fatalf("%q became %q", value, tag)
		}
		request, err := fetch.Request("https://bank.example/", tag)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
		if err != nil {
			t.Fatalf("%q makes a request that cannot be read: %v", tag, err)
		}
		if got := r.Header.Get("If-None-Match"); got != tag || len(r.Header) > 4 {
			t.Errorf("tag %q went as %q among %d headers", tag, got, len(r.Header))
		}
	})
}

// FuzzRedirect: a target that is followed is an endpoint's URL, means the same
// when it is read again, and can be shown.
func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{"/b", "b?q", "//other.example/", "https://other.example:8443/b", "http://x/", "https://u@x/", "https://[::1]:1/",
		"https://x.:443/%2e", "https://X/#f", "https:x", "?", "https://0x7f.1/", "https://x:0/", "https://x/\x7f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		exact, shown, address, err := fetch.Locate("https://bank.example/a/b?c", target)
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("error %q", err)
			}
			return
		}
		u, err := url.Parse(exact)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" || u.Fragment != "" {
			t.Fatalf("%q leads to %q", target, exact)
		}
		again, shownAgain, addressAgain, err := fetch.Locate(exact, exact)
		if err != nil || again != exact || shownAgain != shown || addressAgain != address {
			t.Errorf("%q read again is %q at %q (%v), was at %q", exact, again, addressAgain, err, address)
		}
		if len([]rune(shown)) > 201 || strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("shown as %q", shown)
		}
		if _, err := fetch.Request(exact, ""); err != nil {
			t.Errorf("no request for %q: %v", exact, err)
		}
	})
}

// FuzzURINames: the names of an extension that is well formed are read byte for
// byte, and any other bytes are an error or names that are in them.
func FuzzURINames(f *testing.F) {
	f.Add([]byte(nil), "spiffe://bank.example/a", "")
	f.Add([]byte{0x30, 0x03, 0x86, 0x01, 'a'}, "spiffe://a", "spiffe://a#")
	f.Add([]byte{0x30, 0x80}, "", "\x00")
	f.Fuzz(func(t *testing.T, raw []byte, one, two string) {
		names, err := fetch.URINames(uriNames(t, one, two).Value)
		if err != nil || !slices.Equal(names, []string{one, two}) {
			t.Errorf("%q and %q were read as %q, %v", one, two, names, err)
		}
		names, err = fetch.URINames(raw)
		for _, n := range names {
			if err == nil && !bytes.Contains(raw, []byte(n)) {
				t.Errorf("%q is not in %x", n, raw)
			}
		}
	})
}
