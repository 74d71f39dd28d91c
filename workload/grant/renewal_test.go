package grant_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/grant"
)

func TestAnSVIDIsRenewedAtHalfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{SPIFFEID: h.ID("/a")})
		s := h.open(t, grant.X509SVIDs, memdomain.Selectors("/a"))
		last := svids(t, s.next())
		for range 10 {
			since := time.Now()
			next := svids(t, <-s.messages)
			if waited := time.Since(since); waited < 27*time.Minute || waited > 30*time.Minute+time.Second {
				t.Errorf("renewed after %s of an hour", waited)
			}
			if string(next.Svids[0].X509SvidKey) == string(last.Svids[0].X509SvidKey) {
				t.Error("the key was kept")
			}
			last = next
		}
	})
}

func TestWA_6_SVIDsThatWereSignedTogetherAreNotRenewedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		const n = 20
		came := make(chan time.Time, n)
		for i := range n {
			path := fmt.Sprintf("/w%d", i)
			h.Put(workload.Entry{SPIFFEID: h.ID(path)})
			s := h.open(t, grant.X509SVIDs, memdomain.Selectors(path))
			s.next()
			go func() {
				if _, ok := <-s.messages; ok {
					came <- time.Now()
				}
			}()
		}
		moments := map[time.Time]bool{}
		var first, last time.Time
		for range n {
			at := <-came
			if first.IsZero() {
				first = at
			}
			moments[at], last = true, at
		}
		if len(moments) < n/2 || last.Sub(first) < 30*time.Second {
			t.Errorf("%d renewals at %d moments within %s", n, len(moments), last.Sub(first))
		}
	})
}

func TestAChangeOfAuthorityReplacesEverySVIDAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		const n = 100 // more than are signed in one batch
		var streams []*stream
		for i := range n {
			path := fmt.Sprintf("/w%d", i)
			h.Put(workload.Entry{SPIFFEID: h.ID(path)})
			s := h.open(t, grant.X509SVIDs, memdomain.Selectors(path))
			s.next()
			streams = append(streams, s)
		}
		h.PrepareRoot()
		for _, s := range streams {
			s.next()
		}
		if got := h.grants.Stats().Signed; got != n {
			t.Fatalf("%d SVIDs were signed because a bundle changed", got-n)
		}
		start := time.Now()
		h.ActivateRoot()
		for _, s := range streams {
			s.next()
		}
		if got := h.grants.Stats().Signed; got != 2*n || time.Since(start) != 0 {
			t.Errorf("signed %d, want %d; after %s", got, 2*n, time.Since(start))
		}
		time.Sleep(20 * time.Minute)
		for _, s := range streams {
			s.silent()
		}
	})
}

func TestASignerThatFailsCostsNothingBeforeTheSVIDEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{SPIFFEID: h.ID("/a")})
		s := h.open(t, grant.X509SVIDs, memdomain.Selectors("/a"))
		s.next()
		h.FailSigning(fmt.Errorf("no intermediate: %w", ca.ErrNotReady))
		time.Sleep(50 * time.Minute)
		s.silent()
		h.PrepareRoot()
		if r := svids(t, s.next()); len(r.Svids) != 1 {
			t.Error("a bundle's change must come through while nothing can be signed")
		}
		h.FailSigning(nil)
		time.Sleep(time.Minute)
		s.next() // renewed

		h.FailLedger(fmt.Errorf("no leader was heard: %w", ca.ErrNotReady))
		time.Sleep(55 * time.Minute)
		s.silent()
		time.Sleep(6 * time.Minute)
		s.ended(ca.ErrNotReady)
		h.open(t, grant.X509SVIDs, memdomain.Selectors("/a")).ended(ca.ErrNotReady)
		h.open(t, grant.JWTBundles, memdomain.Selectors("/a")).ended(ca.ErrNotReady)
		h.FailLedger(nil)
		h.open(t, grant.X509SVIDs, memdomain.Selectors("/a")).next()
	})
}

func TestChangesThatCameWhileNotReadyAreNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{SPIFFEID: h.ID("/a"), FederatesWith: domains("bank.example")})
		h.SetBundle(memdomain.New(t, "bank.example").Bundle())
		s := h.open(t, grant.X509SVIDs, memdomain.Selectors("/a"))
		s.next()
		h.FailLedger(fmt.Errorf("no leader was heard: %w", ca.ErrNotReady))
		h.DropBundle(domains("bank.example")[0])
		time.Sleep(time.Minute)
		s.silent()
		h.FailLedger(nil)
		time.Sleep(2 * time.Second)
		if got := federated(svids(t, s.next())); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

func TestAnEntryThatEndsWhileNotReadyEndsItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{SPIFFEID: h.ID("/a"), ExpiresAt: time.Now().Add(10 * time.Minute)})
		s := h.open(t, grant.X509Bundles, memdomain.Selectors("/a"))
		s.next()
		h.FailLedger(ca.ErrNotReady)
		time.Sleep(11 * time.Minute)
		s.ended(ca.ErrNotReady)
		h.FailLedger(nil)
		h.open(t, grant.X509Bundles, memdomain.Selectors("/a")).ended(grant.ErrNoIdentity)
	})
}

func TestAnSVIDWithoutASignerIsRefusedAndNotAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Put(workload.Entry{SPIFFEID: h.ID("/a")})
		broken := errors.New("the key manager is on fire")
		h.FailSigning(broken)
		h.open(t, grant.X509SVIDs, memdomain.Selectors("/a")).ended(broken)
		bundles := h.open(t, grant.X509Bundles, memdomain.Selectors("/a"))
		bundles.next() // needs nothing signed
		h.FailSigning(nil)
		h.open(t, grant.X509SVIDs, memdomain.Selectors("/a")).next()
		bundles.silent()
	})
}
