package story

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/world"
)

// A revocation takes the intermediate away with its root at once. Whoever asks
// in the moment until there is another one waits for it, and is not refused.
func TestARevocationFailsNoCall(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example", laboratory)
	admin := n.Admin()
	admin.Register(client.Entry{SPIFFEID: n.ID("/billing").String()})
	workload, svids, ctx := n.Client(), svidv1.NewSVIDClient(n.Dial("admin.sock")), world.Soon(t)
	set := spiffebundle.NewSet(known(t, n))
	calls := map[string]func() error{
		"token": func() error {
			_, err := workload.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "a"})
			return err
		},
		"mint": func() error {
			_, err := svids.MintX509SVID(ctx, &svidv1.MintX509SVIDRequest{Csr: request(t, n.ID("/db"))})
			return err
		},
		"fetch": func() error {
			b, err := federation.FetchBundle(ctx, n.TrustDomain, "https://"+n.Addresses().Bundle+"/", options(n, set))
			if err == nil {
				set.Add(b)
			}
			return err
		},
	}
	stop, done := context.WithCancel(ctx)
	var running sync.WaitGroup
	for name, call := range calls {
		var made atomic.Int64
		running.Go(func() {
			for stop.Err() == nil {
				if err := call(); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				made.Add(1)
			}
			t.Logf("%s: %d calls", name, made.Load())
		})
	}
	for range 5 {
		old, next := admin.Authority("x509", "active"), awaitPrepared(t, n)
		// There is no publication window here: the follower has to know the next
		// root before it signs.
		world.Eventually(t, "the follower has seen the next root", func() bool {
			b, _ := set.Get(n.TrustDomain)
			return has(b, next.ID) || t.Failed()
		})
		admin.Turn("x509")
		admin.Revoke("x509", old.ID)
		old = admin.Authority("jwt", "active")
		admin.Turn("jwt")
		admin.Revoke("jwt", old.ID)
		world.Eventually(t, "the next JWT authority is prepared", func() bool { return len(known(t, n).JWTAuthorities()) == 2 })
	}
	done()
	running.Wait()
}
