package grant_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/grant"
)

// slow is a signer that takes a second for each signature.
type slow struct {
	grant.Signer
	inside, most atomic.Int32
}

func (s *slow) enter() {
	now := s.inside.Add(1)
	for {
		most := s.most.Load()
		if now <= most || s.most.CompareAndSwap(most, now) {
			break
		}
	}
	time.Sleep(time.Second)
	s.inside.Add(-1)
}

func (s *slow) X509SVID(r ca.X509Request) (ca.X509SVID, error) {
	s.enter()
	return s.Signer.X509SVID(r)
}

func (s *slow) JWTSVID(r ca.JWTRequest) (ca.JWTSVID, error) {
	s.enter()
	return s.Signer.JWTSVID(r)
}

func TestACrowdWaitsAndIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memdomain.New(t, "acme.example")
		signer := &slow{Signer: d}
		g := grant.New(grant.Options{Source: d, Signer: signer, Log: slog.New(slog.DiscardHandler)})
		const n, entries = 2000, 20
		for i := range entries {
			d.Put(workload.Entry{SPIFFEID: d.ID(fmt.Sprintf("/w%d", i))})
		}
		var calls sync.WaitGroup
		var served, late atomic.Int32
		for i := range n {
			calls.Go(func() {
				ctx := t.Context()
				if i%7 == 0 { // one in seven does not want to wait
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 500*time.Millisecond)
					defer cancel()
				}
				s, err := g.Subscribe(memdomain.Selectors(fmt.Sprintf("/w%d", i%entries)), grant.X509SVIDs)
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				switch _, err := s.Next(ctx); {
				case err == nil:
					served.Add(1)
				case errors.Is(err, context.DeadlineExceeded):
					late.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if served.Load() < n-n/7-1 || served.Load()+late.Load() != n {
			t.Errorf("%d of %d were served, %d ran out of time", served.Load(), n, late.Load())
		}
		if got := g.Stats().Signed; got != entries {
			t.Errorf("%d SVIDs were signed for %d entries", got, entries)
		}
		if signer.most.Load() > 64 {
			t.Errorf("%d signatures were made at once", signer.most.Load())
		}
		if _, err := g.JWTSVIDs(t.Context(), memdomain.Selectors("/w0"), []string{"aud"}, spiffeid.ID{}); err != nil {
			t.Errorf("after the crowd: %v", err)
		}
	})
}

func TestAnImpatientCallerDoesNotTakeOthersWithThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memdomain.New(t, "acme.example")
		g := grant.New(grant.Options{Source: d, Signer: &slow{Signer: d}, Log: slog.New(slog.DiscardHandler)})
		d.Put(workload.Entry{SPIFFEID: d.ID("/a")})
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for i := range 5 {
			calls.Go(func() {
				s, err := g.Subscribe(memdomain.Selectors("/a"), grant.X509SVIDs)
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				with := t.Context()
				if i == 0 {
					with = ctx
				}
				if _, err := s.Next(with); err != nil && i != 0 {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cancel()
		calls.Wait()
		if got := g.Stats(); got.Signed != 1 || got.Streams != 0 {
			t.Errorf("%+v", got)
		}
	})
}
