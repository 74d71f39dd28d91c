package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/concord-id/concord/broker/admin/client"
)

var loadFaults = []fault{
	{group: "load", name: "streams", what: "hundreds of workloads open their streams at once, and again", light: true, do: atAny(openStreams)},
	{group: "load", name: "entries", what: "entries are made as fast as it goes, and deleted", light: true, do: atAny(makeEntries)},
	{group: "load", name: "slow-readers", what: "clients of the bundle endpoint read a few bytes and stop", light: true, do: atAny(readSlowly)},
	{group: "load", name: "poll-storm", what: "the bundle endpoint is polled from everywhere, each time on a new connection", light: true, do: atAny(stormPolls)},
}

// crowd does something many times at once, until all have done.
func crowd(n int, do func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

const (
	streamCrowd = 300
	entryCrowd  = 400
	slowCrowd   = 100
	pollCrowd   = 50
)

func openStreams(ctx context.Context, _ *campaign, random *rand.Rand, m *machine) error {
	for range 2 {
		held, cancel := context.WithTimeout(ctx, between(random, time.Second, 2*time.Second))
		crowd(streamCrowd, func(int) {
			api, err := workloadapi.New(held, workloadapi.WithAddr("unix://"+m.path("workload.sock")))
			if err != nil {
				return
			}
			defer api.Close()
			_ = api.WatchX509Context(held, nobody{}) // it ends with the time
		})
		cancel()
	}
	return nil
}

// nobody watches and does not care.
type nobody struct{}

func (nobody) OnX509ContextUpdate(*workloadapi.X509Context) {}
func (nobody) OnX509ContextWatchError(error)                {}

func makeEntries(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	batch := random.Uint32()
	var next, made = make(chan int), sync.Map{}
	go func() {
		defer close(next)
		for i := range entryCrowd {
			next <- i
		}
	}()
	crowd(16, func(int) {
		for i := range next {
			id := fmt.Sprintf("burst-%d-%d", batch, i)
			entry := client.Entry{ID: id, SPIFFEID: "spiffe://" + domain + "/" + id, Selectors: []string{"unix:path:/" + id}}
			// Whatever comes of it, it is deleted.
			_ = m.door.do(ctx, call{method: http.MethodPost, path: client.Path("entries"), in: entry})
			made.Store(id, true)
		}
	})
	made.Range(func(id, _ any) bool {
		_ = m.door.do(ctx, call{method: http.MethodDelete, path: client.Path("entries", id.(string))})
		return ctx.Err() == nil
	})
	return nil
}

func readSlowly(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
	ctx, cancel := context.WithTimeout(ctx, between(random, 2*time.Second, 5*time.Second))
	defer cancel()
	crowd(slowCrowd, func(int) {
		raw, err := c.hub.Dial(ctx, "tcp4", fmt.Sprint(m.host.Addr, ":8443"))
		if err != nil {
			return
		}
		defer raw.Close()
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		if conn.HandshakeContext(ctx) != nil {
			return
		}
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: concord\r\n\r\n")); err != nil {
			return
		}
		<-ctx.Done()
	})
	return nil
}

func stormPolls(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
	ctx, cancel := context.WithTimeout(ctx, between(random, time.Second, 3*time.Second))
	defer cancel()
	crowd(pollCrowd, func(int) {
		each := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: c.hub.Dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		for ctx.Err() == nil {
			ask, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s:8443/", m.host.Addr), nil)
			if err != nil {
				return
			}
			if answer, err := each.Do(ask); err == nil {
				answer.Body.Close()
			}
		}
	})
	return nil
}
