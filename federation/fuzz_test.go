package federation_test

import (
	"bytes"
	"errors"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"

	"github.com/concord-id/concord/federation"
)

// allocated is how many bytes this process has ever allocated.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// FuzzParse: what is read can be written, and is then read as the same by us
// and by go-spiffe; what is refused is refused at a place; memory is bounded by the input.
func FuzzParse(f *testing.F) {
	for _, tc := range hostileDocuments(f) {
		f.Add([]byte(tc.document))
	}
	whole, err := sample(f).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(doc(slicesOf(`{"a":{"b":"\u0041"}}`, 200)...)))
	f.Fuzz(func(t *testing.T, document []byte) {
		before := allocated()
		b, ignored, err := federation.Parse(bank, document)
		if used, most := allocated()-before, uint64(64*len(document)+1<<20); used > most {
			t.Errorf("%d bytes of memory for %d of document", used, len(document))
		}
		if err != nil {
			var wrong *federation.ParseError
			if !errors.As(err, &wrong) || wrong.Offset < 0 || wrong.Offset > len(document) || wrong.Reason == "" {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		for _, i := range ignored {
			if i.Offset >= len(document) || document[i.Offset] != '{' || i.Reason == "" {
				t.Errorf("ignored at byte %d of %d: %v", i.Offset, len(document), i)
			}
		}
		sameAgain(t, b)
	})
}

// sameAgain writes b and reads it back.
func sameAgain(t *testing.T, b *federation.Bundle) {
	t.Helper()
	p, err := federation.Publish(b)
	if err != nil {
		t.Fatal("read but not written: ", err)
	}
	if len(p.Document) > federation.MaxBundleBytes {
		return // certificates that came without their keys beside them
	}
	back, ignored, err := federation.Parse(bank, p.Document)
	if err != nil || len(ignored) > 0 || !back.Equal(b) {
		t.Fatalf("written as %s, read as %+v: %v, %v", p.Document, back, ignored, err)
	}
	if again, err := back.Marshal(); err != nil || !bytes.Equal(again, p.Document) {
		t.Fatalf("written again as %s: %v", again, err)
	}
	theirs, err := spiffebundle.Parse(bank, p.Document)
	if err != nil {
		t.Fatalf("go-spiffe refuses %s: %v", p.Document, err)
	}
	if len(theirs.X509Authorities()) != len(b.X509) || len(theirs.JWTAuthorities()) != len(b.JWT) {
		t.Fatalf("go-spiffe reads %s as another bundle", p.Document)
	}
}

// FuzzParseURL: what passes is https, has a host and nobody's password.
func FuzzParseURL(f *testing.F) {
	for _, tc := range urls {
		f.Add(tc.url)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := federation.ParseURL(text)
		if err != nil {
			if len(text) > 20 && strings.Contains(err.Error(), text) {
				t.Errorf("the error repeats the URL: %v", err)
			}
			return
		}
		if u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || len(text) > federation.MaxURLBytes {
			t.Errorf("%q passed as %+v", text, u)
		}
		if _, err := federation.ParseURL(u.String()); err != nil && len(u.String()) <= federation.MaxURLBytes {
			t.Errorf("%q passed, %q does not: %v", text, u, err)
		}
	})
}
