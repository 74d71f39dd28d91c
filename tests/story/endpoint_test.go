package story

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/tests/world"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// options are how go-spiffe's client authenticates the endpoint of n, whose
// bundles so far are source.
func options(n *world.Node, source *spiffebundle.Set) federation.FetchOption {
	if n.Web() != nil {
		return federation.WithWebPKIRoots(n.Web().Pool())
	}
	return federation.WithSPIFFEAuth(source, n.ID("/spire/server"))
}

// known is what somebody was given of n by hand.
func known(t *testing.T, n *world.Node) *spiffebundle.Bundle {
	t.Helper()
	b, err := spiffebundle.Parse(n.TrustDomain, n.Admin().Bundle(n.TrustDomain).Document)
	if err != nil {
		t.Fatalf("go-spiffe does not read our bundle: %v", err)
	}
	return b
}

// admitted is what go-spiffe fetches from the endpoint of n.
func admitted(t *testing.T, n *world.Node) *spiffebundle.Bundle {
	t.Helper()
	set := spiffebundle.NewSet(known(t, n))
	b, err := federation.FetchBundle(world.Soon(t), n.TrustDomain, "https://"+n.Addresses().Bundle+"/", options(n, set))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// endpoints are a node for each profile.
var endpoints = map[string]func(testing.TB, string, ...func(*node.Config)) *world.Node{
	"https_spiffe": world.Start,
	"https_web":    world.StartWeb,
}

func TestFD_6_ID_20_GoSPIFFEFetchesTheBundle(t *testing.T) {
	t.Parallel()
	for profile, start := range endpoints {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			n := start(t, "acme.example")
			b := admitted(t, n)
			if len(b.X509Authorities()) != 2 || len(b.JWTAuthorities()) != 2 {
				t.Errorf("%d X.509 and %d JWT authorities, want one in use and one prepared of each", len(b.X509Authorities()), len(b.JWTAuthorities()))
			}
			if hint, ok := b.RefreshHint(); !ok || hint != time.Minute {
				t.Errorf("hint %s, %v", hint, ok)
			}
			if sequence, ok := b.SequenceNumber(); !ok || sequence != n.Admin().Bundle(n.TrustDomain).Sequence {
				t.Errorf("sequence %d, %v", sequence, ok)
			}
		})
	}
}

// follower is go-spiffe's watcher: what it saw, and what it trusts next.
type follower struct {
	set     *spiffebundle.Set
	updates chan *spiffebundle.Bundle
	errs    chan error
}

func (f *follower) OnUpdate(b *spiffebundle.Bundle) {
	f.set.Add(b) // as somebody does who authenticates by the latest bundle (FD-33)
	f.updates <- b
}
func (f *follower) OnError(err error)                            { f.errs <- err }
func (f *follower) NextRefresh(hint time.Duration) time.Duration { return 5 * time.Millisecond }

func TestFD_6_FD_33_GoSPIFFEWatchesTheBundleThroughRotations(t *testing.T) {
	t.Parallel()
	for profile, start := range endpoints {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			n := start(t, "acme.example", laboratory)
			admin := n.Admin()
			f := &follower{spiffebundle.NewSet(known(t, n)), make(chan *spiffebundle.Bundle, 1000), make(chan error, 1000)}
			ctx, cancel := context.WithCancel(world.Soon(t))
			var watching sync.WaitGroup
			watching.Go(func() {
				federation.WatchBundle(ctx, n.TrustDomain, "https://"+n.Addresses().Bundle+"/", f, options(n, f.set))
			})
			defer watching.Wait()
			defer cancel()
			seen := <-f.updates
			until := func(what string, ok func(*spiffebundle.Bundle) bool) {
				t.Helper()
				for !ok(seen) {
					last, _ := seen.SequenceNumber()
					select {
					case seen = <-f.updates:
					case err := <-f.errs:
						t.Fatalf("%s: %v", what, err)
					case <-ctx.Done():
						t.Fatalf("%s: never seen", what)
					}
					if now, _ := seen.SequenceNumber(); now <= last {
						t.Errorf("sequence %d after %d", now, last)
					}
				}
			}
			// Three times, so that the last root is known by the endpoint alone.
			for range 3 {
				old := admin.Authority("x509", "active")
				next := admin.Turn("x509")
				until("the next one is prepared", func(b *spiffebundle.Bundle) bool { return len(b.X509Authorities()) == 3 })
				if !has(seen, next.ID) || !has(seen, old.ID) {
					t.Errorf("both authorities must be published after %s", next.ID)
				}
				admin.Revoke("x509", old.ID)
				until("the old one leaves", func(b *spiffebundle.Bundle) bool { return !has(b, old.ID) })
			}
		})
	}
}

// has reports whether b has the X.509 authority with an ID.
func has(b *spiffebundle.Bundle, id string) bool {
	for _, c := range b.X509Authorities() {
		if authorityID(c) == id {
			return true
		}
	}
	return false
}

func TestFD_32_GoSPIFFERefusesAnotherEndpointID(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	set := spiffebundle.NewSet(known(t, n))
	_, err := federation.FetchBundle(world.Soon(t), n.TrustDomain, "https://"+n.Addresses().Bundle+"/",
		federation.WithSPIFFEAuth(set, spiffeid.RequireFromString("spiffe://acme.example/spire/other")))
	if err == nil {
		t.Error("an endpoint with another ID than the configured one was believed")
	}
}

// A partner configures the URL once (SPIFFE Federation §4.3).
func TestFD_5_TheURLOutlivesRotationsAndRestarts(t *testing.T) {
	t.Parallel()
	for profile, start := range endpoints {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			acme, bank := world.Start(t, "acme.example"), start(t, "bank.example", laboratory)
			acme.Admin().Relate(bank.Relationship())
			url := "https://" + bank.Addresses().Bundle + "/"
			bank.Config.ListenBundle = bank.Addresses().Bundle
			for range 2 {
				bank.Admin().Turn("x509")
				awaitPrepared(t, bank)
				if r := acme.Admin().Refresh(bankDomain); r.URL != url || r.Status.State != "active" || r.Status.X509 < 3 {
					t.Errorf("after a rotation: %+v", r)
				}
				bank.Stop()
				bank.Start()
				if r := acme.Admin().Refresh(bankDomain); r.URL != url || r.Status.State != "active" || r.Status.LastError != "" {
					t.Errorf("after a restart: %+v", r)
				}
			}
		})
	}
}

// Nothing but X.509- and JWT-SVIDs is issued, and no other key is published.
func TestID_25_OnlyDocumentsWithASpecificationAreIssued(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example"), world.Soon(t)
	_, err := svidv1.NewSVIDClient(n.Dial("admin.sock")).MintWITSVID(ctx, &svidv1.MintWITSVIDRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a WIT-SVID: %v", err)
	}
	var document struct {
		Keys []struct {
			Use string `json:"use"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(n.Admin().Bundle(n.TrustDomain).Document, &document); err != nil || len(document.Keys) != 4 {
		t.Fatalf("%d keys, %v", len(document.Keys), err)
	}
	for _, key := range document.Keys {
		if key.Use != "x509-svid" && key.Use != "jwt-svid" {
			t.Errorf("a key is for %q", key.Use)
		}
	}
}

// What a relationship is configured with is changed by administrators alone, is
// noted with its author, and is shown to nobody else (SPIFFE Federation §7.1).
func TestFD_45_EndpointParametersAreTheAdministratorsAlone(t *testing.T) {
	t.Parallel()
	n, bank := world.Start(t, "acme.example"), world.NewPeer(t, "bank.example", "https_web")
	n.Admin().Relate(bank.Relationship())
	if info, err := os.Stat(n.Path("admin.sock")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the admin socket is %v, %v", info.Mode(), err)
	}
	var trail client.AuditRecords
	if err := n.Admin().Try(http.MethodGet, client.Path("audit"), url.Values{"subject": {"relationship/bank.example"}}, nil, &trail); err != nil {
		t.Fatal(err)
	}
	if len(trail.Records) != 1 || !strings.HasPrefix(trail.Records[0].Actor, "unix:uid=") {
		t.Errorf("the audit trail has %+v", trail.Records)
	}
	_, metrics := get(t, n, "/metrics")
	if host := strings.TrimPrefix(bank.URL, "https://"); strings.Contains(string(metrics), strings.TrimSuffix(host, "/")) {
		t.Error("the metrics show a peer's URL")
	}
}
