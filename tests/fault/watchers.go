package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/concord-id/concord/tests/fault/history"
)

// workload is a workload of one machine: it holds a stream of X.509-SVIDs and
// bundles, and has JWT-SVIDs issued.
type workload struct {
	m       *machine
	rec     *recorder
	streams atomic.Int64
	issued  atomic.Int64

	mu   sync.Mutex
	last map[string][]string // by domain: the keys that came last
}

const (
	tokenEvery = 100 * time.Millisecond
	tokenTime  = 2 * time.Second
)

// work goes on until ctx ends.
func (w *workload) work(ctx context.Context) {
	api, err := workloadapi.New(ctx, workloadapi.WithAddr("unix://"+w.m.path("workload.sock")))
	if err != nil {
		w.rec.wrong("the campaign", "workload of %s: %v", w.m.name, err)
		return
	}
	defer api.Close()
	var all sync.WaitGroup
	all.Go(func() { _ = api.WatchX509Context(ctx, w) }) // it ends with ctx
	all.Go(func() {
		for ctx.Err() == nil {
			w.token(ctx, api)
			pause(ctx, tokenEvery)
		}
	})
	all.Wait()
}

// token has a JWT-SVID issued.
func (w *workload) token(ctx context.Context, api *workloadapi.Client) {
	ctx, cancel := context.WithTimeout(ctx, tokenTime)
	defer cancel()
	begun := w.rec.now()
	svid, err := api.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "bank"})
	if err != nil {
		return // it is down, or stale, or its identity is not there yet
	}
	w.issued.Add(1)
	w.rec.add(history.Event{Kind: history.SVID, Client: w.name(), Node: w.m.name, Use: "jwt", Keys: []string{keyID(svid.Marshal())}, Begin: begun})
}

func (w *workload) name() string { return fmt.Sprintf("workload-%s", w.m.name) }

// OnX509ContextUpdate implements workloadapi.X509ContextWatcher.
func (w *workload) OnX509ContextUpdate(update *workloadapi.X509Context) {
	stream := fmt.Sprintf("%s#%d", w.name(), w.streams.Load())
	for _, svid := range update.SVIDs {
		top := svid.Certificates[len(svid.Certificates)-1]
		w.rec.add(history.Event{Kind: history.SVID, Client: stream, Node: w.m.name, Use: "x509", Keys: []string{hex.EncodeToString(top.AuthorityKeyId)}})
	}
	last := map[string][]string{}
	for _, bundle := range update.Bundles.Bundles() {
		if bundle.TrustDomain() == spiffeid.RequireTrustDomainFromString(domain) {
			continue
		}
		var keys []string
		for _, c := range bundle.X509Authorities() {
			keys = append(keys, fingerprint(c.Raw))
		}
		slices.Sort(keys)
		last[bundle.TrustDomain().Name()] = keys
		w.rec.add(history.Event{Kind: history.Delivery, Client: stream, Node: w.m.name, Domain: bundle.TrustDomain().Name(), Keys: keys})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = last
}

// OnX509ContextWatchError implements workloadapi.X509ContextWatcher: another
// stream begins.
func (w *workload) OnX509ContextWatchError(error) {
	w.streams.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = nil
}

// has is what came last for a domain.
func (w *workload) has(domain string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[domain]
}

// fingerprint names a certificate.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:8])
}
