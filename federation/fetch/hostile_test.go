package fetch_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/fetch"
)

// listen gives every connection to serve and closes it afterwards.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				defer func() { _ = conn.Close() }()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = ln.Close()
		serving.Wait()
	})
	return "https://" + ln.Addr().String()
}

// answering is a TLS endpoint that reads a request and then does as it likes.
func answering(t *testing.T, cert tls.Certificate, answer func(io.Writer)) string {
	return listen(t, answerer(cert, answer))
}

func answerer(cert tls.Certificate, answer func(io.Writer)) func(net.Conn) {
	return func(conn net.Conn) {
		c := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true})
		if _, err := c.Read(make([]byte, 8<<10)); err != nil {
			return
		}
		answer(c)
		_, _ = io.Copy(io.Discard, c) // until the client has had enough
	}
}

func say(text string) func(io.Writer) {
	return func(w io.Writer) { _, _ = io.WriteString(w, text) }
}

// forever writes text until the client has had enough.
func forever(start, text string) func(io.Writer) {
	return func(w io.Writer) {
		_, err := io.WriteString(w, start)
		for err == nil {
			_, err = io.WriteString(w, text)
		}
	}
}

// drip writes a byte a second until the client has had enough. It belongs in a
// bubble.
func drip(start string) func(io.Writer) {
	return func(w io.Writer) {
		_, err := io.WriteString(w, start)
		for err == nil {
			time.Sleep(time.Second)
			_, err = io.WriteString(w, "a")
		}
	}
}

const ok200 = "HTTP/1.1 200 OK\r\n"

func TestAHostileAnswerIsRefusedInTimeAndInWords(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	cert := bank.svid(serverPath)
	big := strings.Repeat("a", 70<<10)
	endpoint := func(answer func(io.Writer)) string { return answering(t, cert, answer) }
	for name, row := range map[string]struct {
		url string
		say string
	}{
		"nobody listens":             {closed(t), "refused the connection"},
		"no TLS":                     {listen(t, func(c net.Conn) { say("SSH-2.0-OpenSSH_9.9\r\n")(c) }), "does not speak TLS"},
		"closed in the handshake":    {listen(t, func(c net.Conn) {}), "closed the connection in the TLS handshake"},
		"TLS 1.1":                    {listen(t, oldTLS(cert)), "TLS handshake"},
		"no HTTP/1.1":                {listen(t, noHTTP(cert)), "does not speak HTTP/1.1"},
		"closed without an answer":   {listen(t, hangUp(cert)), "closed the connection"},
		"not HTTP":                   {endpoint(say("\x00\x01\x02garbage\r\n\r\n")), "did not speak HTTP/1.1"},
		"HTTP/2 in words":            {endpoint(say("HTTP/2.0 200 OK\r\n\r\n")), "did not speak HTTP/1.1"},
		"switching protocols":        {endpoint(say("HTTP/1.1 101 Switching Protocols\r\n\r\n")), "did not speak HTTP/1.1"},
		"headers without end":        {endpoint(forever(ok200, strings.Repeat("X: y\r\n", 1000))), "headers are over 32 KiB"},
		"one header without end":     {endpoint(forever(ok200+"X: ", big)), "headers are over 32 KiB"},
		"a status line without end":  {endpoint(forever("HTTP/1.1 200 ", big)), "headers are over 32 KiB"},
		"informational without end":  {endpoint(forever("", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10))), "did not speak HTTP/1.1"},
		"a body too long, announced": {endpoint(say(ok200 + "Content-Length: 67108864\r\n\r\n")), "over 256 KiB"},
		"a body too long, chunked":   {endpoint(forever(ok200+"Transfer-Encoding: chunked\r\n\r\n", "10000\r\n"+big[:65536]+"\r\n")), "over 256 KiB"},
		"a body without end":         {endpoint(forever(ok200+"\r\n", big)), "over 256 KiB"},
		"a body cut off":             {listen(t, cutOff(cert)), "does not serve a bundle"},
		"tiny chunks without end":    {endpoint(forever(ok200+"Transfer-Encoding: chunked\r\n\r\n", "1;"+big[:4000]+"\r\na\r\n")), "the bundle"},
		"a trailer without end":      {endpoint(forever(ok200+"Transfer-Encoding: chunked\r\n\r\n0\r\n", strings.Repeat("X: y\r\n", 1000))), "the bundle"},
		"a gzip bomb":                {endpoint(say(ok200 + "Content-Encoding: gzip\r\n\r\n" + bomb(t))), "over 256 KiB"},
		"gzip members without end":   {endpoint(forever(ok200+"Content-Encoding: gzip\r\n\r\n", strings.Repeat(deflated(t, nil), 1000))), "over 256 KiB"},
		"no gzip":                    {endpoint(say(ok200 + "Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n{\"keys\":[] }        ")), "cannot be inflated"},
		"another coding":             {endpoint(say(ok200 + "Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx")), "content coding"},
		"an empty body":              {endpoint(say(ok200 + "Content-Length: 0\r\n\r\n")), "does not serve a bundle"},
		"not a bundle":               {endpoint(say(ok200 + "Content-Length: 15\r\n\r\n{\"error\":\"oops\"")), "does not serve a bundle"},
		"TB_9 null keys":             {endpoint(say(ok200 + "Content-Length: 13\r\n\r\n{\"keys\":null}")), "does not serve a bundle"},
		"no content":                 {endpoint(say("HTTP/1.1 204 No Content\r\n\r\n")), "status 204"},
		"half a document":            {endpoint(say("HTTP/1.1 206 Partial Content\r\nContent-Length: 0\r\n\r\n")), "status 206"},
		"a failure":                  {endpoint(say("HTTP/1.1 503 GO AWAY\r\n\r\n")), "status 503 (Service Unavailable)"},
		"an unasked not modified":    {endpoint(say("HTTP/1.1 304 Not Modified\r\n\r\n")), "nothing was asked on condition"},
		"a name that is not known":   {"https://unknown.example/", "DNS does not know unknown.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			held := publish(t, bundle(bank.td, 1, time.Minute, bank))
			l.set(held)
			l.relate(spiffe(bank, row.url, serverPath))
			pool := run(t, l, fetch.Options{Resolver: hosts{}, Limits: fetch.Limits{KeepUpTo: time.Nanosecond}})
			s := failing(t, pool, bank.td, row.say)
			if s.State != federation.StateDegraded || s.NextPoll.IsZero() {
				t.Errorf("status %+v", s)
			}
			if l.View().Bundle(bank.td) != held {
				t.Error("the bundle that was held is gone")
			}
		})
	}
}

func closed(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return "https://" + ln.Addr().String()
}

func oldTLS(cert tls.Certificate) func(net.Conn) {
	return func(c net.Conn) {
		_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}).Handshake()
	}
}

func noHTTP(cert tls.Certificate) func(net.Conn) {
	return func(c net.Conn) {
		_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"acme-tls/1"}}).Handshake()
	}
}

func hangUp(cert tls.Certificate) func(net.Conn) {
	return func(conn net.Conn) {
		c := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		_, _ = c.Read(make([]byte, 8<<10))
	}
}

func cutOff(cert tls.Certificate) func(net.Conn) {
	return func(conn net.Conn) {
		c := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		_, _ = c.Read(make([]byte, 8<<10))
		say(ok200 + "\r\n{\"keys\":[]")(c) // no length: the end of the connection would be the end of the body
	}
}

func deflated(t *testing.T, plain []byte) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// bomb is 8 MiB in 8 KiB.
func bomb(t *testing.T) string { return deflated(t, make([]byte, 8<<20)) }

func TestAGzipBodyIsRead(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	doc := publish(t, bundle(bank.td, 2, time.Minute, bank)).Document
	p := newPeer(t, ca.web(), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", r.Header.Get("Accept-Encoding"))
		_, _ = io.WriteString(w, deflated(t, doc))
	})
	l := newLedger()
	l.relate(web(bank.td, p.url, ca))
	if s := succeeding(t, run(t, l, fetch.Options{}), bank.td); s.Sequence != 2 {
		t.Errorf("status %+v", s)
	}
}

func TestABodyOfExactlyTheLimitIsRead(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	doc := publish(t, bundle(bank.td, 2, time.Minute, bank)).Document
	doc = append(doc, bytes.Repeat([]byte(" "), federation.MaxBundleBytes-len(doc))...)
	p := newPeer(t, ca.web(), func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(doc) })
	l := newLedger()
	l.relate(web(bank.td, p.url, ca))
	pool := run(t, l, fetch.Options{})
	if s := succeeding(t, pool, bank.td); s.Bytes != federation.MaxBundleBytes {
		t.Errorf("status %+v", s)
	}
	doc = append(doc, ' ')
	failing(t, pool, bank.td, "over 256 KiB")
}

func TestAFloodOnAKeptConnectionStaysInTheKernel(t *testing.T) {
	bank := newAuthority(t, "bank.example")
	b := publish(t, bundle(bank.td, 1, time.Minute, bank))
	url := answering(t, bank.svid(serverPath), func(w io.Writer) {
		answer := fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", ok200, len(b.Document), b.Document)
		forever(answer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")(w)
	})
	l := newLedger()
	l.set(b)
	l.relate(spiffe(bank, url, serverPath))
	pool := run(t, l, fetch.Options{})
	for range 5 {
		s := refresh(t, pool, bank.td)
		if s.LastError != "" && !strings.Contains(s.LastError, "does not serve a bundle") {
			t.Errorf("error %q", s.LastError)
		}
	}
	if n := len(l.stored()); n != 0 {
		t.Errorf("%d bundles stored", n)
	}
}

// gauge counts what is open now.
type gauge struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed when n falls to 0
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n == 0 {
		g.zero = make(chan struct{})
	}
	if g.n += n; g.n == 0 {
		close(g.zero)
	}
}

func (g *gauge) empty() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.zero == nil { // nothing was ever open
		g.zero = make(chan struct{})
		close(g.zero)
	}
	return g.zero
}

// RELIABILITY row 13: hung peers cost their own bundles, not others', and no
// descriptors.
func TestHungPeersDelayNeitherOthersNorTheirOwnRemoval(t *testing.T) {
	var open gauge
	url := listen(t, func(c net.Conn) {
		open.add(1)
		defer open.add(-1)
		_, _ = io.Copy(io.Discard, c)
	})
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	p := newPeer(t, ca.web(), honest(t, bank, 2))
	l := newLedger()
	pool := run(t, l, fetch.Options{Limits: fetch.Limits{TLS: time.Hour, Whole: time.Hour}})
	var names []spiffeid.TrustDomain
	for i := range 200 {
		td := spiffeid.RequireTrustDomainFromString(fmt.Sprintf("hung%d.example", i))
		names = append(names, td)
		l.relate(web(td, url, ca))
	}
	l.relate(web(bank.td, p.url, ca))
	succeeding(t, pool, bank.td)
	for _, td := range names {
		l.part(td)
		if _, err := pool.Refresh(t.Context(), td); err != fetch.ErrNoRelationship {
			t.Fatalf("refresh of a removed relationship: %v", err)
		}
	}
	<-open.empty() // every connection is closed although nobody answered
	succeeding(t, pool, bank.td)
}

func TestAPanicIsAnErrorOfItsPollOnly(t *testing.T) {
	bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
	p := newPeer(t, ca.web(), honest(t, bank, 2))
	var panics atomic.Bool
	panics.Store(true)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if panics.Load() {
			panic("a defect")
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	l := newLedger()
	l.relate(web(bank.td, p.url, ca))
	pool := run(t, l, fetch.Options{Dial: dial})
	failing(t, pool, bank.td, "a defect of Concord")
	panics.Store(false)
	succeeding(t, pool, bank.td)
}
