package fetch_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/fetch"
)

// distant is a peer inside a synctest bubble. Its URL is https://bank.example/.
type distant struct {
	peer
	pipes   pipes
	serving sync.WaitGroup

	mu    sync.Mutex
	times []time.Time // of the requests
}

func newDistant(t *testing.T, cert tls.Certificate, serve http.HandlerFunc) *distant {
	t.Helper()
	d := &distant{pipes: pipes{conns: make(chan net.Conn), closed: make(chan struct{})}}
	server := &http.Server{Handler: d, ConnState: d.count, ErrorLog: log.New(io.Discard, "", 0)}
	config := d.tls(cert, serve)
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		// A pipe has no buffer: a ticket would wait for a reader for ever.
		return &tls.Config{Certificates: []tls.Certificate{*d.certs.Load()}, SessionTicketsDisabled: true}, nil
	}
	d.serving.Go(func() { _ = server.Serve(tls.NewListener(d.pipes, config)) })
	t.Cleanup(func() {
		_ = server.Close()
		d.serving.Wait()
	})
	return d
}

func (d *distant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.serving.Add(1)
	defer d.serving.Done()
	d.mu.Lock()
	d.times = append(d.times, time.Now())
	d.mu.Unlock()
	d.peer.ServeHTTP(w, r)
}

// gaps returns the times between requests.
func (d *distant) gaps() []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	var gaps []time.Duration
	for i := 1; i < len(d.times); i++ {
		gaps = append(gaps, d.times[i].Sub(d.times[i-1]))
	}
	return gaps
}

func (d *distant) options() fetch.Options {
	return fetch.Options{
		Resolver: hosts{"*": {publicAddr}},
		Dial:     d.pipes.dial,
	}
}

// pipes is a net.Listener whose connections are net.Pipes: inside a bubble a
// real socket would stop the time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

const bankURL = "https://bank.example/"

func TestFD_34_PollsComeAtTheHint(t *testing.T) {
	for name, row := range map[string]struct {
		hint        time.Duration
		hinted      bool
		least, most time.Duration
	}{
		"a minute":             {time.Minute, true, 54 * time.Second, time.Minute},
		"TB_18 no hint":        {0, false, 270 * time.Second, 5 * time.Minute},
		"row 11: zero":         {0, true, 5 * time.Second, 5 * time.Second},
		"row 11: a second":     {time.Second, true, 5 * time.Second, 5 * time.Second},
		"row 11: four weeks":   {28 * 24 * time.Hour, true, 54 * time.Minute, time.Hour},
		"row 11: without end":  {federation.MaxHint, true, 54 * time.Minute, time.Hour},
		"just above the least": {5200 * time.Millisecond, true, 5 * time.Second, 5200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
				b := &federation.Bundle{TrustDomain: bank.td, X509: []*x509.Certificate{bank.cert}, Hint: row.hint.Truncate(time.Second), Hinted: row.hinted}
				d := newDistant(t, ca.web(), document(t, b))
				l := newLedger()
				l.relate(web(bank.td, bankURL, ca))
				pool := run(t, l, d.options())
				time.Sleep(12 * row.most)
				synctest.Wait()
				gaps := d.gaps()
				if n := len(gaps); n < 10 || n > 14 {
					t.Errorf("%d polls in 12 intervals", n)
				}
				for _, g := range gaps {
					if g < row.least || g > row.most {
						t.Errorf("a gap of %s, want %s to %s", g, row.least, row.most)
					}
				}
				s, known := pool.Status(bank.td)
				if !known || s.NextPoll.Before(time.Now()) || s.NextPoll.After(time.Now().Add(row.most)) || s.Age > row.most {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}

func TestFD_40_AFailureWaitsForTheNextInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
		d := newDistant(t, ca.web(), document(t, bundle(bank.td, 2, time.Minute, bank)))
		l := newLedger()
		l.relate(web(bank.td, bankURL, ca))
		pool := run(t, l, d.options())
		time.Sleep(90 * time.Second)
		d.now(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s, _ := pool.Status(bank.td); s.State != federation.StateDegraded || s.Sequence != 2 {
			t.Errorf("status %+v", s)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for _, g := range d.gaps() {
			if g < 54*time.Second || g > time.Minute {
				t.Errorf("a gap of %s", g)
			}
		}
		if s, _ := pool.Status(bank.td); s.State != federation.StateFailing || !strings.Contains(s.LastError, "status 500") {
			t.Errorf("status %+v", s)
		}
		d.now(document(t, bundle(bank.td, 3, time.Minute, bank)))
		time.Sleep(time.Minute)
		synctest.Wait()
		if s, _ := pool.Status(bank.td); s.State != federation.StateActive || s.Sequence != 3 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestFirstPollsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const peers = 1000
		var mu sync.Mutex
		times := map[time.Duration]int{}
		start := time.Now()
		dial := func(context.Context, string, string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			times[time.Since(start).Truncate(time.Second)]++
			return nil, errors.New("not today")
		}
		l := newLedger()
		for i := range peers {
			l.relate(web(spiffeid.RequireTrustDomainFromString(fmt.Sprintf("p%d.example", i)), bankURL, nil))
		}
		run(t, l, fetch.Options{Dial: dial, Resolver: hosts{"*": {publicAddr}}})
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		sum := 0
		for second, n := range times {
			sum += n
			if n > peers/3 {
				t.Errorf("%d first polls in second %s", n, second)
			}
		}
		if sum != peers {
			t.Errorf("%d first polls, want %d", sum, peers)
		}
	})
}

func TestConnectionsAreKeptForFrequentPollsOnly(t *testing.T) {
	for name, row := range map[string]struct {
		hint        time.Duration
		life        time.Duration // of the endpoint's certificate
		during      time.Duration
		least, most int64
	}{
		"a minute apart":                 {time.Minute, 24 * time.Hour, 9 * time.Minute, 2, 2}, // the first has no hint to go by
		"not for ever":                   {time.Minute, 24 * time.Hour, time.Hour, 6, 8},
		"not past the certificate's end": {time.Minute, 210 * time.Second, 9 * time.Minute, 3, 8},
		"not two minutes apart":          {2 * time.Minute, 24 * time.Hour, 20 * time.Minute, 10, 12},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
				cert := ca.web(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(row.life) })
				d := newDistant(t, cert, document(t, bundle(bank.td, 2, row.hint, bank)))
				l := newLedger()
				l.relate(web(bank.td, bankURL, ca))
				pool := run(t, l, d.options())
				time.Sleep(row.during)
				synctest.Wait()
				if n := d.conns.Load(); n < row.least || n > row.most {
					t.Errorf("%d connections for %d polls, want %d to %d", n, d.hits.Load(), row.least, row.most)
				}
				if s, _ := pool.Status(bank.td); row.life > row.during && s.LastError != "" {
					t.Errorf("status %+v", s)
				} else if row.life < row.during && !strings.Contains(s.LastError, "expired on") {
					t.Errorf("error %q after the certificate's end", s.LastError)
				}
			})
		})
	}
}

func TestAKeptConnectionThatIsGoneIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
		d := newDistant(t, ca.web(), document(t, bundle(bank.td, 2, time.Minute, bank)))
		conns := make(chan net.Conn, 100)
		o := d.options()
		dial := o.Dial
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			conns <- c
			return c, err
		}
		l := newLedger()
		l.set(publish(t, bundle(bank.td, 1, time.Minute, bank)))
		l.relate(web(bank.td, bankURL, ca))
		pool := run(t, l, o)
		succeeding(t, pool, bank.td)
		_ = (<-conns).Close() // as a firewall does
		if s := succeeding(t, pool, bank.td); d.conns.Load() != 2 {
			t.Errorf("%d connections, status %+v", d.conns.Load(), s)
		}
	})
}

func TestAKeptConnectionThatGoesNowhereIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
		serve := document(t, bundle(bank.td, 2, time.Minute, bank))
		var hang atomic.Bool
		d := newDistant(t, ca.web(), func(w http.ResponseWriter, r *http.Request) {
			if hang.Swap(false) {
				<-r.Context().Done() // until the client gives the connection up
				return
			}
			serve(w, r)
		})
		l := newLedger()
		l.set(publish(t, bundle(bank.td, 1, time.Minute, bank)))
		l.relate(web(bank.td, bankURL, ca))
		pool := run(t, l, d.options())
		succeeding(t, pool, bank.td)
		hang.Store(true)
		start := time.Now()
		succeeding(t, pool, bank.td)
		if took := time.Since(start); took > 3*time.Second || d.conns.Load() != 2 {
			t.Errorf("%d connections, replaced after %s", d.conns.Load(), took)
		}
	})
}

// The planted bug: a poller that lives on the context of who saw it first.
func TestAPollerOutlivesWhoAskedForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
		serve := document(t, bundle(bank.td, 2, time.Minute, bank))
		slow := make(chan struct{})
		d := newDistant(t, ca.web(), func(w http.ResponseWriter, r *http.Request) {
			<-slow
			serve(w, r)
		})
		l := newLedger()
		pool := run(t, l, d.options())
		synctest.Wait()
		asking, cancel := context.WithCancel(t.Context())
		answered := make(chan error)
		go func() {
			l.relate(web(bank.td, bankURL, ca))
			_, err := pool.Refresh(asking, bank.td) // perhaps before Run heard of it
			answered <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-answered; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		close(slow)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := d.hits.Load(); n < 10 {
			t.Errorf("%d polls in ten minutes", n)
		}
	})
}

func TestThoseWhoAskTogetherShareOnePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
		serve := document(t, bundle(bank.td, 2, time.Minute, bank))
		d := newDistant(t, ca.web(), func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			serve(w, r)
		})
		l := newLedger()
		l.relate(web(bank.td, bankURL, ca))
		pool := run(t, l, d.options())
		synctest.Wait() // the first poll is under way
		var asking sync.WaitGroup
		for range 100 {
			asking.Go(func() {
				if s, err := pool.Refresh(t.Context(), bank.td); err != nil || s.Polls != 2 {
					t.Errorf("polls %d, error %v: want the poll after the one that ran already", s.Polls, err)
				}
			})
		}
		asking.Wait()
		if n := d.hits.Load(); n != 2 {
			t.Errorf("%d polls", n)
		}
	})
}

func TestFD_41_ARemovedRelationshipIsNotPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
		d := newDistant(t, ca.web(), document(t, bundle(bank.td, 2, time.Minute, bank)))
		l := newLedger()
		l.relate(web(bank.td, bankURL, ca))
		pool := run(t, l, d.options())
		time.Sleep(5 * time.Minute)
		l.part(bank.td)
		synctest.Wait()
		hits := d.hits.Load()
		time.Sleep(time.Hour)
		if n := d.hits.Load() - hits; n > 0 {
			t.Errorf("%d polls after the removal", n)
		}
		if _, known := pool.Status(bank.td); known {
			t.Error("a status without a relationship")
		}
	})
}

func TestAChangedRelationshipIsPolledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
		d := newDistant(t, ca.web(), document(t, bundle(bank.td, 2, time.Hour, bank)))
		l := newLedger()
		l.relate(web(bank.td, bankURL+"old", ca))
		pool := run(t, l, d.options())
		time.Sleep(time.Minute)
		l.relate(web(bank.td, bankURL+"new", ca))
		synctest.Wait()
		if s, _ := pool.Status(bank.td); d.hits.Load() != 2 || s.Polls != 1 {
			t.Errorf("%d requests, status %+v", d.hits.Load(), s)
		}
	})
}

func TestAnAnchorThatWasMissingIsUsedSoonAfterItIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank := newAuthority(t, "bank.example")
		d := newDistant(t, bank.svid(serverPath), document(t, bundle(bank.td, 2, time.Minute, bank)))
		l := newLedger()
		l.relate(spiffe(bank, bankURL, serverPath))
		pool := run(t, l, d.options())
		time.Sleep(time.Second)
		if s, _ := pool.Status(bank.td); s.State != federation.StatePending {
			t.Errorf("status %+v", s)
		}
		l.set(publish(t, bundle(bank.td, 1, time.Minute, bank)))
		time.Sleep(federation.MinPollInterval)
		synctest.Wait()
		if s, _ := pool.Status(bank.td); s.State != federation.StateActive || s.Sequence != 2 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestAStoreThatStaysAwayCostsNoFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
		d := newDistant(t, ca.web(), document(t, bundle(bank.td, 2, time.Minute, bank)))
		l := newLedger()
		l.set(publish(t, bundle(bank.td, 1, time.Minute, bank)))
		away := true
		var mu sync.Mutex
		l.refuse = func(context.Context, *federation.Published) error {
			mu.Lock()
			defer mu.Unlock()
			if away {
				return errors.New("no leader")
			}
			return nil
		}
		l.relate(web(bank.td, bankURL, ca))
		pool := run(t, l, d.options())
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if s, _ := pool.Status(bank.td); d.hits.Load() != 1 || !strings.Contains(s.LastError, "could not be stored") || !strings.Contains(s.LastError, "no leader") {
			t.Errorf("%d fetches, status %+v", d.hits.Load(), s)
		}
		mu.Lock()
		away = false
		mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s, _ := pool.Status(bank.td); s.Sequence != 2 || s.State != federation.StateActive {
			t.Errorf("status %+v", s)
		}
	})
}

func TestASlowPeerIsCutOff(t *testing.T) {
	for name, row := range map[string]struct {
		dial  func(net.Conn) // nil: the connection does not come up
		serve func(io.Writer)
		say   string
		most  time.Duration
	}{
		"no connection":                {nil, nil, "203.0.113.7:443 did not answer within 10s", 10 * time.Second},
		"TLS that never begins":        {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, nil, "did not answer within 10s in the TLS handshake", 10 * time.Second},
		"no answer":                    {nil, say(""), "did not answer within 10s before the response's headers", 10 * time.Second},
		"headers, a byte a second":     {nil, drip(ok200 + "X: "), "did not answer within 10s before the response's headers", 10 * time.Second},
		"a body, a byte a second":      {nil, drip(ok200 + "Content-Length: 1000\r\n\r\n"), "slower than 8 KiB a second after the first 5s", 6 * time.Second},
		"a redirect each nine seconds": {nil, lateRedirect, "was not complete after 1m0s", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
				serve := row.dial
				if row.serve != nil {
					serve = answerer(ca.web(), row.serve)
				}
				var serving sync.WaitGroup
				t.Cleanup(serving.Wait)
				l := newLedger()
				l.relate(web(bank.td, bankURL, ca))
				start := time.Now()
				pool := run(t, l, fetch.Options{
					Limits:   fetch.Limits{Hops: 20},
					Resolver: hosts{"*": {publicAddr}},
					Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
						if serve == nil {
							<-ctx.Done()
							return nil, ctx.Err()
						}
						here, there := net.Pipe()
						serving.Go(func() { serve(there); _ = there.Close() })
						return here, nil
					},
				})
				time.Sleep(row.most)
				synctest.Wait()
				s, _ := pool.Status(bank.td)
				if !strings.Contains(s.LastError, row.say) {
					t.Errorf("after %s: error %q, want %q", time.Since(start), s.LastError, row.say)
				}
			})
		})
	}
}

func lateRedirect(w io.Writer) {
	time.Sleep(9 * time.Second)
	redirects++
	_, _ = fmt.Fprintf(w, "HTTP/1.1 302 Found\r\nLocation: /%d\r\n\r\n", redirects)
}

// redirects makes every target of lateRedirect a new one; only one peer uses it.
var redirects int

func TestASlowBodyIsReadWhileItKeepsThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
		var pace atomic.Int64
		pace.Store(int64(time.Second))
		doc := publish(t, bundle(bank.td, 2, time.Minute, bank)).Document
		d := newDistant(t, ca.web(), func(w http.ResponseWriter, _ *http.Request) {
			for _, b := range doc {
				if _, err := w.Write([]byte{b}); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(time.Duration(pace.Load()))
			}
		})
		l := newLedger()
		l.relate(web(bank.td, bankURL, ca))
		pool := run(t, l, d.options())
		start := time.Now()
		failing(t, pool, bank.td, "slower than 8 KiB a second")
		if took := time.Since(start); took > 12*time.Second { // two polls
			t.Errorf("a byte a second was endured for %s", took)
		}
		pace.Store(int64(time.Millisecond))
		succeeding(t, pool, bank.td)
	})
}

func TestRunCanEndAndBeginAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bank, ca := newAuthority(t, "bank.example"), newAuthority(t, "web")
		d := newDistant(t, ca.web(), document(t, bundle(bank.td, 2, time.Minute, bank)))
		l := newLedger()
		l.relate(web(bank.td, bankURL, ca))
		o := d.options()
		o.Ledger, o.Store = l, l
		pool := fetch.New(o)
		if _, err := pool.Refresh(t.Context(), bank.td); !errors.Is(err, fetch.ErrNotRunning) {
			t.Errorf("error %v before Run", err)
		}
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- pool.Run(ctx) }()
			synctest.Wait()
			if err := pool.Run(ctx); err == nil {
				t.Error("a second Run beside the first")
			}
			succeeding(t, pool, bank.td)
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
			if _, known := pool.Status(bank.td); known {
				t.Error("a status after Run")
			}
			if _, err := pool.Refresh(t.Context(), bank.td); !errors.Is(err, fetch.ErrNotRunning) {
				t.Errorf("error %v after Run", err)
			}
		}
	})
}
