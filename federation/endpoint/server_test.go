package endpoint_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	spiffe "github.com/spiffe/go-spiffe/v2/federation"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/endpoint"
)

// client trusts d for a server on loopback.
func client(t testing.TB, d *domain, change ...func(*tls.Config)) *http.Client {
	t.Helper()
	config := &tls.Config{RootCAs: d.roots()}
	for _, c := range change {
		c(config)
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func get(t testing.TB, c *http.Client, addr string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, err
}

func TestFD_6_GoSPIFFEFetchesInBothProfiles(t *testing.T) {
	d := newDomain(t)
	p := d.publish(t, 7)
	theirs, err := spiffebundle.Parse(bank, p.Document)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[federation.Profile]spiffe.FetchOption{
		federation.HTTPSWeb:    spiffe.WithWebPKIRoots(d.roots()),
		federation.HTTPSSPIFFE: spiffe.WithSPIFFEAuth(theirs, serverID),
	} {
		t.Run("FD_17 "+string(name), func(t *testing.T) {
			_, addr := serve(t, endpoint.Options{Handler: endpoint.NewHandler(newLedger(p)), Certificate: fixed(d.leaf(t)), Profile: name})
			fetched, err := spiffe.FetchBundle(t.Context(), bank, "https://"+addr, tc)
			if err != nil {
				t.Fatal(err)
			}
			if !fetched.Equal(theirs) {
				t.Error("go-spiffe fetched another bundle")
			}
		})
	}
}

func TestFD_6_GoSPIFFEWatches(t *testing.T) {
	d := newDomain(t)
	l := newLedger(d.publish(t, 7))
	_, addr := serve(t, endpoint.Options{Handler: endpoint.NewHandler(l), Certificate: fixed(d.leaf(t)), Profile: federation.HTTPSWeb})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &watcher{update: func(b *spiffebundle.Bundle) {
		switch sequence, _ := b.SequenceNumber(); sequence {
		case 7:
			l.set(endpoint.Current{Bundle: d.publish(t, 8)})
		case 8:
			cancel()
		}
	}, failed: func(err error) { t.Error(err) }}
	err := spiffe.WatchBundle(ctx, bank, "https://"+addr, w, spiffe.WithWebPKIRoots(d.roots()))
	if ctx.Err() == nil || t.Context().Err() != nil {
		t.Error("never saw the change: ", err)
	}
}

type watcher struct {
	update func(*spiffebundle.Bundle)
	failed func(error)
}

func (w *watcher) OnUpdate(b *spiffebundle.Bundle) { w.update(b) }
func (w *watcher) OnError(err error)               { w.failed(err) }
func (w *watcher) NextRefresh(time.Duration) time.Duration {
	return time.Millisecond // of the hint nothing is to be learned here
}

func TestFD_7_TLSIsMozillasIntermediate(t *testing.T) {
	d := newDomain(t)
	_, addr := serve(t, endpoint.Options{Handler: endpoint.NewHandler(newLedger(d.publish(t, 7))), Certificate: fixed(d.leaf(t)), Profile: federation.HTTPSWeb})
	dial := func(change func(*tls.Config)) error {
		config := &tls.Config{RootCAs: d.roots(), MinVersion: tls.VersionTLS10}
		change(config)
		conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	good := map[uint16]bool{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: true, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: true,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: true,
	}
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if suite.SupportedVersions[0] == tls.VersionTLS13 {
			continue
		}
		err := dial(func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{suite.ID} })
		if (err == nil) != good[suite.ID] {
			t.Errorf("%s: %v", suite.Name, err)
		}
	}
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		err := dial(func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	for curve, want := range map[tls.CurveID]bool{tls.X25519: true, tls.CurveP256: true, tls.CurveP384: true, tls.CurveP521: false} {
		err := dial(func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{curve} })
		if (err == nil) != want {
			t.Errorf("curve %s: %v", curve, err)
		}
	}
}

func TestFD_11_NobodyIsAskedWhoTheyAre(t *testing.T) {
	d := newDomain(t)
	for _, profile := range []federation.Profile{federation.HTTPSWeb, federation.HTTPSSPIFFE} {
		_, addr := serve(t, endpoint.Options{Handler: endpoint.NewHandler(newLedger(d.publish(t, 7))), Certificate: fixed(d.leaf(t)), Profile: profile})
		asked := false
		answer, err := get(t, client(t, d, func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				asked = true
				return &tls.Certificate{}, nil
			}
		}), addr)
		if err != nil || asked || answer.StatusCode != 200 {
			t.Errorf("%s: asked %v, %v", profile, asked, err)
		}
	}
}

func TestSPIFFESessionsAreNeverResumed(t *testing.T) {
	d := newDomain(t)
	for profile, want := range map[federation.Profile]bool{federation.HTTPSWeb: true, federation.HTTPSSPIFFE: false} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			_, addr := serve(t, endpoint.Options{Handler: endpoint.NewHandler(newLedger(d.publish(t, 7))), Certificate: fixed(d.leaf(t)), Profile: profile})
			sessions := tls.NewLRUClientSessionCache(8)
			var resumed bool
			for range 3 {
				c := client(t, d, func(c *tls.Config) { c.MaxVersion, c.ClientSessionCache = version, sessions })
				answer, err := get(t, c, addr)
				if err != nil {
					t.Fatal(err)
				}
				resumed = resumed || answer.TLS.DidResume
			}
			if resumed != want {
				t.Errorf("%s, %s: resumed %v", profile, tls.VersionName(version), resumed)
			}
		}
	}
}

func TestBothVersionsOfHTTP(t *testing.T) {
	d := newDomain(t)
	p := d.publish(t, 7)
	_, addr := serve(t, endpoint.Options{Handler: endpoint.NewHandler(newLedger(p)), Certificate: fixed(d.leaf(t)), Profile: federation.HTTPSWeb})
	for want, next := range map[string][]string{"HTTP/2.0": {"h2", "http/1.1"}, "HTTP/1.1": {"http/1.1"}} {
		c := client(t, d)
		transport := c.Transport.(*http.Transport)
		transport.ForceAttemptHTTP2, transport.TLSClientConfig.NextProtos = want == "HTTP/2.0", next
		answer, err := get(t, c, addr)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		if answer.Proto != want || string(body) != string(p.Document) || answer.ContentLength != int64(len(body)) {
			t.Errorf("%s with %d bytes of %d, want %s", answer.Proto, len(body), answer.ContentLength, want)
		}
	}
}

func TestALargeHeaderIsRefused(t *testing.T) {
	d := newDomain(t)
	_, addr := serve(t, endpoint.Options{Handler: endpoint.NewHandler(newLedger(d.publish(t, 7))), Certificate: fixed(d.leaf(t)), Profile: federation.HTTPSWeb})
	conn := dialTLS(t, d, addr, "http/1.1")
	go func() { // the server may stop reading before all is written
		_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	}()
	line := make([]byte, 12)
	if _, err := io.ReadFull(conn, line); err != nil || string(line) != "HTTP/1.1 431" {
		t.Errorf("%q, %v", line, err)
	}
}

func dialTLS(t testing.TB, d *domain, addr, protocol string) *tls.Conn {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: d.roots(), NextProtos: []string{protocol}}}
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*tls.Conn)
}

func TestServeReportsABrokenListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	s := endpoint.NewServer(endpoint.Options{Handler: http.NotFoundHandler(), Certificate: fixed(nil), Profile: federation.HTTPSWeb, Log: quiet})
	if err := s.Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Error(err)
	}
}

func TestServeLetsARequestFinish(t *testing.T) {
	d := newDomain(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = io.WriteString(w, "done")
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := endpoint.NewServer(endpoint.Options{Handler: slow, Certificate: fixed(d.leaf(t)), Profile: federation.HTTPSWeb, Log: quiet})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	answered := make(chan string, 1)
	go func() {
		answer, err := get(t, client(t, d), l.Addr().String())
		if err != nil {
			answered <- err.Error()
			return
		}
		body, _ := io.ReadAll(answer.Body)
		answered <- string(body)
	}()
	<-entered
	cancel()
	close(leave)
	if got := <-answered; got != "done" {
		t.Error(got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
