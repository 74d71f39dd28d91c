package api_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload/api"
	"github.com/concord-id/concord/workload/grant"
)

// endpoint is a Workload API in memory. Its one caller is a process that the
// test describes.
type endpoint struct {
	*memdomain.Domain
	grants   *grant.Grants
	client   pb.SpiffeWorkloadAPIClient
	conn     *grpc.ClientConn
	dial     func() *grpc.ClientConn
	shutdown func()

	mu        sync.Mutex
	selectors []attest.Selector
	attesting error // what Attest fails with
	gone      error // what Alive fails with
}

// Attest implements attest.ProcessAttestor.
func (e *endpoint) Attest(context.Context, attest.Process) ([]attest.Selector, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.selectors, e.attesting
}

func (e *endpoint) alive() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.gone
}

// is says what is observed of the caller from now on.
func (e *endpoint) is(values ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.selectors = memdomain.Selectors(values...)
}

// fails says what observing the caller, and asking whether it lives, fails with.
func (e *endpoint) fails(attesting, gone error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.attesting, e.gone = attesting, gone
}

// newEndpoint serves the domain acme.example until the test ends.
func newEndpoint(t *testing.T, change func(*api.Options)) *endpoint {
	t.Helper()
	e := &endpoint{Domain: memdomain.New(t, "acme.example")}
	e.grants = grant.New(grant.Options{Source: e, Signer: e, Log: slog.New(slog.DiscardHandler)})
	e.Follow(e.grants.Changed)
	o := api.Options{
		Grants: e.grants, Attestor: e, Credentials: insecure.NewCredentials(), Log: slog.New(slog.DiscardHandler),
		Caller: func(context.Context) (attest.Process, bool) { return attest.Process{PID: 7, Alive: e.alive}, true },
	}
	if change != nil {
		change(&o)
	}
	server, listener := api.New(o), bufconn.Listen(1<<16)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { e.grants.Run(ctx) })
	running.Go(func() {
		if err := server.Serve(ctx, listener); err != nil {
			t.Error(err)
		}
	})
	e.shutdown = func() { cancel(); running.Wait() }
	t.Cleanup(e.shutdown)
	e.dial = func() *grpc.ClientConn {
		conn, err := grpc.NewClient("passthrough:///workload", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	e.conn = e.dial()
	e.client = pb.NewSpiffeWorkloadAPIClient(e.conn)
	return e
}

// header is a context with the security header, until the test ends.
func header(t *testing.T) context.Context { return withHeader(t.Context()) }

func withHeader(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "workload.spiffe.io", "true")
}

// calls are the calls of the Workload API as a workload makes them, but for
// the tokens, whose audience or token is audience or svid.
func (e *endpoint) calls(audience, svid string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"FetchX509SVID": func(ctx context.Context) error {
			return first(e.client.FetchX509SVID(ctx, &pb.X509SVIDRequest{}))
		},
		"FetchX509Bundles": func(ctx context.Context) error {
			return first(e.client.FetchX509Bundles(ctx, &pb.X509BundlesRequest{}))
		},
		"FetchJWTBundles": func(ctx context.Context) error {
			return first(e.client.FetchJWTBundles(ctx, &pb.JWTBundlesRequest{}))
		},
		"FetchJWTSVID": func(ctx context.Context) error {
			_, err := e.client.FetchJWTSVID(ctx, &pb.JWTSVIDRequest{Audience: []string{audience}})
			return err
		},
		"ValidateJWTSVID": func(ctx context.Context) error {
			_, err := e.client.ValidateJWTSVID(ctx, &pb.ValidateJWTSVIDRequest{Audience: audience, Svid: svid})
			return err
		},
	}
}

// first receives one message of a stream.
func first[T any](stream grpc.ServerStreamingClient[T], err error) error {
	if err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

// wantCode fails the test if err is not a status of code.
func wantCode(t *testing.T, err error, code codes.Code) {
	t.Helper()
	if got := status.Code(err); got != code {
		t.Errorf("got %s (%v), want %s", got, err, code)
	}
}

// inBubble runs test with an endpoint of its own, in time of its own.
func inBubble(t *testing.T, change func(*api.Options), test func(t *testing.T, e *endpoint)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t, change)
		test(t, e)
		e.conn.Close()
		e.shutdown()
	})
}
