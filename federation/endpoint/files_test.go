package endpoint_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/endpoint"
)

// replace writes a file as an operator should: beside it, then renamed.
func replace(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	synctest.Test(t, func(t *testing.T) {
		d := newDomain(t)
		one, two, three := d.leaf(t), d.leaf(t), d.leaf(t)
		put := func(c *tls.Certificate) {
			cert, key := pair(t, c)
			replace(t, certFile, cert)
			replace(t, keyFile, key)
		}
		put(one)
		var log bytes.Buffer
		f, err := endpoint.Files(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		presents := func(when string, want *tls.Certificate, problem string) {
			t.Helper()
			got, err := f.Certificate()
			if err != nil || !bytes.Equal(got.Certificate[0], want.Certificate[0]) {
				t.Errorf("%s: another certificate (%v)", when, err)
			}
			switch p := f.Problem(); {
			case problem == "" && p != nil:
				t.Errorf("%s: %v", when, p)
			case problem != "" && (p == nil || !strings.Contains(p.Error(), problem)):
				t.Errorf("%s: problem %v, want %q", when, p, problem)
			}
		}
		presents("at first", one, "")
		put(two)
		presents("within a second", one, "")
		time.Sleep(time.Second)
		presents("after a second", two, "")

		cert, key := pair(t, three)
		replace(t, certFile, cert)
		time.Sleep(time.Second)
		presents("a certificate before its key", two, "private key does not match")
		replace(t, keyFile, key)
		presents("within a second of its key", two, "does not match")
		time.Sleep(time.Second)
		presents("both", three, "")

		replace(t, keyFile, []byte("nonsense"))
		time.Sleep(time.Second)
		presents("nonsense", three, keyFile)
		if err := os.Remove(certFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		presents("no file", three, "no such file")
		replace(t, certFile, make([]byte, 2<<20))
		time.Sleep(time.Second)
		presents("a huge file", three, "longer than")
		put(one)
		time.Sleep(time.Second)
		presents("mended", one, "")

		time.Sleep(2 * time.Hour)
		presents("ended", one, "ended at")
		if n := strings.Count(log.String(), "level=ERROR"); n != 2 {
			t.Errorf("%d errors logged for two times of trouble:\n%s", n, &log)
		}
	})
}

func TestFilesMustBeGoodAtFirst(t *testing.T) {
	d := newDomain(t)
	dir := t.TempDir()
	cert, key := pair(t, d.leaf(t))
	_, other := pair(t, d.leaf(t))
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, tc := range map[string]struct {
		cert, key []byte
		words     string
	}{
		"no certificate": {nil, key, "cert.pem"},
		"no key":         {cert, nil, "key.pem"},
		"another's key":  {cert, other, "does not match"},
		"both in one":    {append(key, cert...), append(cert, key...), ""},
	} {
		for file, data := range map[string][]byte{certFile: tc.cert, keyFile: tc.key} {
			if data == nil {
				_ = os.Remove(file)
				continue
			}
			replace(t, file, data)
		}
		_, err := endpoint.Files(certFile, keyFile, quiet)
		if (err == nil) != (tc.words == "") || err != nil && !strings.Contains(err.Error(), tc.words) {
			t.Errorf("%s: %v, want %q", name, err, tc.words)
		}
	}
}

func TestFD_10_ANewCertificateIsPresentedWithoutARestart(t *testing.T) {
	d := newDomain(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put := func() *x509.Certificate {
		leaf := d.leaf(t)
		cert, key := pair(t, leaf)
		replace(t, certFile, cert)
		replace(t, keyFile, key)
		return leaf.Leaf
	}
	put()
	f, err := endpoint.Files(certFile, keyFile, quiet)
	if err != nil {
		t.Fatal(err)
	}
	_, addr := serve(t, endpoint.Options{Handler: endpoint.NewHandler(newLedger(d.publish(t, 7))), Certificate: f.Certificate, Profile: federation.HTTPSWeb})
	second := put()
	for start := time.Now(); ; {
		c := client(t, d)
		answer, err := get(t, c, addr)
		if err != nil {
			t.Fatal(err)
		}
		c.CloseIdleConnections()
		if answer.TLS.PeerCertificates[0].Equal(second) {
			return
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("the old certificate is still presented")
		}
	}
}
