package attack_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/world"
	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
)

// soakFor is how long the soak lasts: CONCORD_SOAK, or a few seconds.
func soakFor(t *testing.T) time.Duration {
	text := os.Getenv("CONCORD_SOAK")
	if text == "" {
		return 4 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("CONCORD_SOAK: %v", err)
	}
	return d
}

// footprint is what must come back to where it was.
type footprint struct{ descriptors, goroutines, memory float64 }

func (v *victim) footprint() footprint {
	return footprint{v.metric("process_open_fds"), v.metric("go_goroutines"), v.metric("process_resident_memory_bytes")}
}

// TestSoak has streams, entries, rotations and a peer's bundle change all the
// time, and then looks whether memory, descriptors and goroutines are back
// where they were after a first, short round of the same.
func TestSoak(t *testing.T) {
	v := startVictim(t)
	s := &soak{t: t, v: v, peer: world.NewPeer(t, "peer.example", federation.HTTPSWeb)}
	v.admin.Relate(s.peer.Relationship())
	length := soakFor(t)
	s.round(length / 4)
	baseline := s.settled(footprint{})
	s.round(length)
	after := s.settled(baseline)
	t.Logf("streams %d, entries %d, turns %d, bundles %d; descriptors %.0f → %.0f, goroutines %.0f → %.0f, memory %.1f → %.1f MiB",
		s.streams.Load(), s.entries.Load(), s.turns.Load(), s.bundles.Load(), baseline.descriptors, after.descriptors,
		baseline.goroutines, after.goroutines, baseline.memory/(1<<20), after.memory/(1<<20))
	if !after.within(baseline) {
		t.Error("what the load took did not come back")
	}
	v.answersAfterwards()
}

// within allows for what is kept on purpose: idle connections, the log's cache,
// and what the garbage collector has not given back.
func (f footprint) within(baseline footprint) bool {
	return f.descriptors <= baseline.descriptors+8 && f.goroutines <= baseline.goroutines+12 && f.memory <= baseline.memory*1.5+64<<20
}

// settled waits until the footprint is within the baseline, as long as that may
// take; without a baseline until it no longer falls.
func (s *soak) settled(baseline footprint) footprint {
	deadline := time.Now().Add(30 * time.Second)
	last := s.v.footprint()
	for tick := time.NewTicker(250 * time.Millisecond); ; {
		<-tick.C
		now := s.v.footprint()
		calm := now.descriptors >= last.descriptors && now.goroutines >= last.goroutines
		if baseline != (footprint{}) {
			calm = now.within(baseline)
		}
		if calm || time.Now().After(deadline) {
			tick.Stop()
			return now
		}
		last = now
	}
}

type soak struct {
	t    *testing.T
	v    *victim
	peer *world.Peer

	streams, entries, turns, bundles atomic.Uint64
}

// round keeps everything changing for a while.
func (s *soak) round(length time.Duration) {
	ctx, cancel := context.WithTimeout(s.t.Context(), length)
	defer cancel()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { s.repeat(ctx, &s.streams, s.openStream) })
		all.Go(func() {
			s.repeat(ctx, &s.entries, func(context.Context, uint64) error { return s.makeEntry(i) })
		})
	}
	all.Go(func() { s.repeat(ctx, &s.turns, s.turn) })
	all.Go(func() { s.repeat(ctx, &s.bundles, s.refresh) })
	all.Wait()
}

func (s *soak) repeat(ctx context.Context, count *atomic.Uint64, do func(context.Context, uint64) error) {
	for ctx.Err() == nil {
		if err := do(ctx, count.Add(1)); err != nil && ctx.Err() == nil {
			s.t.Error(err)
			return
		}
	}
}

// openStream opens a stream on a connection of its own and reads a few messages.
func (s *soak) openStream(_ context.Context, _ uint64) error {
	conn := s.v.dial("workload.sock")
	defer conn.Close()
	ctx, cancel := context.WithCancel(asWorkload(s.t))
	defer cancel()
	stream, err := pb.NewSpiffeWorkloadAPIClient(conn).FetchX509SVID(ctx, &pb.X509SVIDRequest{})
	if err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

// makeEntry makes an entry of this caller and deletes it again.
func (s *soak) makeEntry(caller int) error {
	var made client.Outcome[client.Entry]
	entry := client.Entry{SPIFFEID: fmt.Sprintf("spiffe://%s/soak/%d", crowdDomain, caller), Selectors: []string{fmt.Sprintf("unix:uid:%d", 70000+caller)}}
	if err := s.v.admin.Try(http.MethodPost, client.Path("entries"), nil, entry, &made); err != nil {
		return err
	}
	return s.v.admin.Try(http.MethodDelete, client.Path("entries", made.After.ID), nil, nil, nil)
}

// turn activates the prepared X.509 authority and revokes the one before it.
// The node prepares the next one by itself; until it has, there is nothing to turn.
func (s *soak) turn(context.Context, uint64) error {
	var all client.Authorities
	if err := s.v.admin.Try(http.MethodGet, client.Path("authorities"), nil, nil, &all); err != nil {
		return err
	}
	for _, a := range all.Authorities {
		verb := map[string]string{"prepared": "activate", "old": "revoke"}[a.Status]
		if a.Use != "x509" || verb == "" {
			continue
		}
		query := url.Values{}
		if verb == "activate" {
			query.Set("force", "true")
		}
		err := s.v.admin.Try(http.MethodPost, client.Path("authorities", a.Use, a.ID, verb), query, nil, nil)
		// Somebody may have taken the step meanwhile: the node itself does.
		if refused := new(client.Refused); err != nil && !errors.As(err, &refused) {
			return err
		}
	}
	return nil
}

// refresh has the peer's bundle fetched.
func (s *soak) refresh(context.Context, uint64) error {
	return s.v.admin.Try(http.MethodPost, client.Path("federation", "peer.example", "refresh"), nil, nil, nil)
}
