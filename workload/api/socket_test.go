package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/attest/process/unix"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/api"
	"github.com/concord-id/concord/workload/grant"
)

// socket is a Workload API on a real socket; the test is its workload.
type socket struct {
	*memdomain.Domain
	grants *grant.Grants
	addr   string // unix:///…
}

func newSocket(t testing.TB) *socket {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "workload.sock")
	listener, err := unix.Listen(path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	s := &socket{Domain: memdomain.New(t, "acme.example"), addr: "unix://" + path}
	log := slog.New(slog.DiscardHandler)
	s.grants = grant.New(grant.Options{Source: s, Signer: s, Log: log})
	s.Follow(s.grants.Changed)
	server := api.New(api.Options{
		Grants: s.grants, Attestor: unix.NewAttestor(unix.Options{MaxHashBytes: -1}),
		Credentials: unix.Credentials(), Caller: unix.ProcessOf, Log: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.grants.Run(ctx) })
	running.Go(func() {
		if err := server.Serve(ctx, listener); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return s
}

// me makes an entry for the test itself.
func (s *socket) me(path string, federates ...spiffeid.TrustDomain) {
	s.Put(workload.Entry{
		SPIFFEID: s.ID(path), FederatesWith: federates,
		Selectors: []attest.Selector{{Type: "unix", Value: fmt.Sprint("uid:", os.Geteuid())}},
	})
}

// soon is a context that ends the test rather than letting it hang.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// until waits for updates until ok, or fails the test.
func until(t *testing.T, ctx context.Context, updated <-chan struct{}, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-updated:
		case <-ctx.Done():
			t.Fatal("what was waited for never came")
		}
	}
}

func TestWA_1_WE_3_WE_7_WE_11_WE_15_GoSpiffeX509Source(t *testing.T) {
	s := newSocket(t)
	bank := memdomain.New(t, "bank.example")
	s.SetBundle(bank.Bundle())
	s.me("/billing", bankDomain)
	ctx := soon(t)
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(s.addr)))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	svid, err := source.GetX509SVID()
	if err != nil || svid.ID != s.ID("/billing") {
		t.Fatalf("%v %v", svid, err)
	}
	if _, _, err := x509svid.Verify(svid.Certificates, source); err != nil {
		t.Error(err)
	}
	if b, err := source.GetX509BundleForTrustDomain(bankDomain); err != nil || len(b.X509Authorities()) != 1 {
		t.Errorf("%v %v", b, err)
	}

	s.PrepareRoot()
	until(t, ctx, source.Updated(), func() bool {
		b, err := source.GetX509BundleForTrustDomain(s.TrustDomain())
		return err == nil && len(b.X509Authorities()) == 2
	})
	s.ActivateRoot()
	until(t, ctx, source.Updated(), func() bool {
		next, err := source.GetX509SVID()
		return err == nil && !next.Certificates[0].Equal(svid.Certificates[0])
	})
	s.DropOldRoots()
	until(t, ctx, source.Updated(), func() bool {
		b, err := source.GetX509BundleForTrustDomain(s.TrustDomain())
		return err == nil && len(b.X509Authorities()) == 1
	})
	next, err := source.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x509svid.Verify(next.Certificates, source); err != nil {
		t.Errorf("after the old root left: %v", err)
	}
}

func TestWA_1_GoSpiffeJWTSourceAndClient(t *testing.T) {
	s := newSocket(t)
	s.me("/billing")
	ctx := soon(t)
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(s.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	source, err := workloadapi.NewJWTSource(ctx, workloadapi.WithClient(client))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	svid, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "aud", ExtraAudiences: []string{"other"}})
	if err != nil || svid.ID != s.ID("/billing") {
		t.Fatalf("%v %v", svid, err)
	}
	if _, err := jwtsvid.ParseAndValidate(svid.Marshal(), source, []string{"aud"}); err != nil {
		t.Error(err)
	}
	if got, err := client.ValidateJWTSVID(ctx, svid.Marshal(), "aud"); err != nil || got.ID != svid.ID {
		t.Errorf("%v %v", got, err)
	}
	if _, err := client.ValidateJWTSVID(ctx, svid.Marshal(), "nobody"); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	s.AddJWTKey()
	until(t, ctx, source.Updated(), func() bool {
		b, err := source.GetJWTBundleForTrustDomain(s.TrustDomain())
		return err == nil && len(b.JWTAuthorities()) == 2
	})
}

// watcher puts what go-spiffe's client sees into channels.
type watcher struct {
	contexts chan *workloadapi.X509Context
	bundles  chan *jwtbundle.Set
	errs     chan error
}

func (w watcher) OnX509ContextUpdate(c *workloadapi.X509Context) { w.contexts <- c }
func (w watcher) OnX509ContextWatchError(err error)              { w.errs <- err }
func (w watcher) OnJWTBundlesUpdate(b *jwtbundle.Set)            { w.bundles <- b }
func (w watcher) OnJWTBundlesWatchError(err error)               { w.errs <- err }

func TestWA_14_GoSpiffeWatch(t *testing.T) {
	s := newSocket(t)
	s.me("/billing", bankDomain)
	ctx, cancel := context.WithCancel(soon(t))
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(s.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	w := watcher{make(chan *workloadapi.X509Context, 100), make(chan *jwtbundle.Set, 100), make(chan error, 100)}
	var watching sync.WaitGroup
	watching.Go(func() { client.WatchX509Context(ctx, w) })
	watching.Go(func() { client.WatchJWTBundles(ctx, w) })
	defer watching.Wait()
	defer cancel()

	if c := <-w.contexts; c.DefaultSVID().ID != s.ID("/billing") || c.Bundles.Len() != 1 {
		t.Errorf("%v", c)
	}
	if b := <-w.bundles; b.Len() != 1 {
		t.Errorf("%d JWT bundles", b.Len())
	}
	s.SetBundle(memdomain.New(t, "bank.example").Bundle())
	if c := <-w.contexts; c.Bundles.Len() != 2 {
		t.Errorf("%d bundles", c.Bundles.Len())
	}
	if b := <-w.bundles; b.Len() != 2 {
		t.Errorf("%d JWT bundles", b.Len())
	}
	s.Delete("entrybilling")
	for range 2 {
		if err := <-w.errs; status.Code(err) != codes.PermissionDenied {
			t.Errorf("%v", err)
		}
	}
}

func TestWE_1_WE_2_WE_4_WE_5_WE_8_TheAddressIsASocketInTheFileSystem(t *testing.T) {
	s := newSocket(t)
	if err := workloadapi.ValidateAddress(s.addr); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(strings.TrimPrefix(s.addr, "unix://"))
	if err != nil || info.Mode().Type() != os.ModeSocket || !strings.HasPrefix(s.addr, "unix:///") {
		t.Errorf("%s: %v %v", s.addr, info, err)
	}
}

func TestWE_4_WE_9_WE_10_AProcessThatNoEntryMatches(t *testing.T) {
	s := newSocket(t)
	s.Put(workload.Entry{SPIFFEID: s.ID("/other"), Selectors: []attest.Selector{{Type: "unix", Value: "uid:4294967294"}}})
	client, err := workloadapi.New(soon(t), workloadapi.WithAddr(s.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.FetchX509SVID(soon(t)); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
}

// TestACrowdOfStreamsAndCallsIsServed opens thousands of each at once, and
// wants one key, everybody served, and a node that answers afterwards.
func TestACrowdOfStreamsAndCallsIsServed(t *testing.T) {
	s := newSocket(t)
	s.me("/billing")
	ctx, cancel := context.WithCancel(soon(t))
	const conns, perConn = 10, 50
	var crowd sync.WaitGroup
	served := make(chan error, 2*conns*perConn)
	for range conns {
		conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		client := pb.NewSpiffeWorkloadAPIClient(conn)
		for range perConn {
			crowd.Go(func() {
				stream, err := client.FetchX509SVID(withHeader(ctx), &pb.X509SVIDRequest{})
				err = errors.Join(err, first(stream, err))
				served <- err
				if err == nil {
					stream.Recv() // until the test is done with all of them
				}
			})
			crowd.Go(func() {
				_, err := client.FetchJWTSVID(withHeader(ctx), &pb.JWTSVIDRequest{Audience: []string{"aud"}})
				served <- err
			})
		}
	}
	for range cap(served) {
		if err := <-served; err != nil {
			t.Fatal(err)
		}
	}
	if got := s.grants.Stats(); got.Signed != 1 || got.Streams != conns*perConn {
		t.Errorf("%+v", got)
	}
	cancel()
	crowd.Wait()
	client, err := workloadapi.New(soon(t), workloadapi.WithAddr(s.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.FetchX509SVID(soon(t)); err != nil {
		t.Errorf("after the crowd: %v", err)
	}
}
