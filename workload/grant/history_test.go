package grant_test

import (
	"crypto"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/grant"
)

func keysOf(t grant.Trust) ca.JWTKeys {
	return func(td spiffeid.TrustDomain) (iter.Seq2[string, crypto.PublicKey], bool) {
		p := t.Bundle(td)
		if p == nil {
			return nil, false
		}
		return func(yield func(string, crypto.PublicKey) bool) {
			for _, a := range p.Bundle.JWT {
				if !yield(a.ID, a.Key) {
					return
				}
			}
		}, true
	}
}

// TestStreamsEndUpWithWhatAFreshOneGets lets a domain change at random under
// open streams: whenever nothing moves any more, each stream's last message is
// what a stream that begins now gets first, or both are refused alike.
func TestStreamsEndUpWithWhatAFreshOneGets(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 1))
				h := newHost(t)
				live := map[string]*stream{} // by what they asked for
				peers := []*memdomain.Domain{memdomain.New(t, "a.example"), memdomain.New(t, "b.example"), memdomain.New(t, "c.example")}
				for range 25 {
					for range 1 + r.IntN(4) {
						disturb(h, peers, r)
					}
					if r.IntN(3) == 0 {
						time.Sleep(time.Duration(r.IntN(45)) * time.Minute)
					}
					compare(t, h, live, r)
				}
			})
		})
	}
}

// disturb makes one random change.
func disturb(h host, peers []*memdomain.Domain, r *rand.Rand) {
	peer := peers[r.IntN(len(peers))]
	entry := fmt.Sprint("e", r.IntN(4))
	switch r.IntN(10) {
	case 0, 1, 2:
		e := workload.Entry{ID: entry, SPIFFEID: h.ID(fmt.Sprint("/p", r.IntN(3))), Selectors: memdomain.Selectors(fmt.Sprint("s", r.IntN(3)))}
		for _, p := range peers {
			if r.IntN(2) == 0 {
				e.FederatesWith = append(e.FederatesWith, p.TrustDomain())
			}
		}
		if r.IntN(3) == 0 {
			e.Hint = fmt.Sprint("h", r.IntN(2))
		}
		if r.IntN(4) == 0 {
			e.ExpiresAt = time.Now().Add(time.Duration(1+r.IntN(60)) * time.Minute)
		}
		h.Put(e)
	case 3:
		h.Delete(entry)
	case 4, 5:
		h.SetBundle(peer.Bundle())
	case 6:
		h.DropBundle(peer.TrustDomain())
	case 7:
		peer.PrepareRoot()
		h.SetBundle(peer.Bundle())
	case 8:
		h.AddJWTKey()
	case 9:
		h.PrepareRoot()
		h.ActivateRoot()
		h.DropOldRoots()
	}
}

// compare opens a stream of each sort and wants those that were open already
// to have the same. Streams that have ended must have ended as the fresh one.
func compare(t *testing.T, h host, live map[string]*stream, r *rand.Rand) {
	t.Helper()
	synctest.Wait()
	for _, kind := range []grant.Kind{grant.X509SVIDs, grant.X509Bundles, grant.JWTBundles} {
		for s := range 3 {
			key := fmt.Sprint(kind, " ", s)
			selectors := memdomain.Selectors(fmt.Sprint("s", s), fmt.Sprint("s", (s+1)%3))
			fresh := h.open(t, kind, selectors)
			want, wantErr := last(fresh, nil)
			fresh.cancel()
			old := live[key]
			if old != nil {
				got, err := last(old, old.seen)
				old.seen = got
				if err != nil && !errors.Is(err, grant.ErrNoIdentity) || err == nil && wantErr != nil || err == nil && !got.Equal(want) {
					t.Fatalf("%s: the open stream has %v, %v; a fresh one gets %v, %v", key, got, err, want, wantErr)
				}
				if err == nil && r.IntN(10) != 0 {
					continue
				}
				old.cancel()
				delete(live, key)
			}
			if wantErr == nil {
				live[key] = h.open(t, kind, selectors)
			}
		}
	}
}

// last drains a stream, and returns its newest message or why it ended.
func last(s *stream, before *grant.Message) (*grant.Message, error) {
	synctest.Wait()
	for {
		select {
		case m, ok := <-s.messages:
			if !ok {
				return nil, s.err
			}
			before = m
		default:
			return before, nil
		}
	}
}
