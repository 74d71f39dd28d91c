package api_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/api"
)

var bankDomain = spiffeid.RequireTrustDomainFromString("bank.example")

// followed is an open stream whose messages a goroutine receives.
type followed[T any] struct {
	t        *testing.T
	messages chan *T
	err      error // once messages is closed
}

func follow[T any](t *testing.T, stream grpc.ServerStreamingClient[T], err error) *followed[T] {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	f := &followed[T]{t: t, messages: make(chan *T, 1000)}
	go func() {
		defer close(f.messages)
		for {
			m, err := stream.Recv()
			if err != nil {
				f.err = err
				return
			}
			f.messages <- m
		}
	}()
	return f
}

// next returns the one message that came by now.
func (f *followed[T]) next() *T {
	f.t.Helper()
	synctest.Wait()
	select {
	case m, ok := <-f.messages:
		if !ok {
			f.t.Fatalf("the stream ended: %v", f.err)
		}
		if len(f.messages) > 0 {
			f.t.Fatalf("%d more messages came", len(f.messages))
		}
		return m
	default:
		f.t.Fatal("no message came")
		return nil
	}
}

func (f *followed[T]) silent() {
	f.t.Helper()
	synctest.Wait()
	select {
	case _, ok := <-f.messages:
		f.t.Fatalf("a message came: %v; the stream ended: %v", ok, f.err)
	default:
	}
}

func (f *followed[T]) ended(code codes.Code) {
	f.t.Helper()
	synctest.Wait()
	select {
	case _, ok := <-f.messages:
		if ok {
			f.t.Fatal("a message came instead of the end")
		}
	default:
		f.t.Fatal("the stream has not ended")
	}
	wantCode(f.t, f.err, code)
}

func (e *endpoint) x509SVIDs(t *testing.T) *followed[pb.X509SVIDResponse] {
	stream, err := e.client.FetchX509SVID(header(t), &pb.X509SVIDRequest{})
	return follow(t, stream, err)
}

func (e *endpoint) x509Bundles(t *testing.T) *followed[pb.X509BundlesResponse] {
	stream, err := e.client.FetchX509Bundles(header(t), &pb.X509BundlesRequest{})
	return follow(t, stream, err)
}

func (e *endpoint) jwtBundles(t *testing.T) *followed[pb.JWTBundlesResponse] {
	stream, err := e.client.FetchJWTBundles(header(t), &pb.JWTBundlesRequest{})
	return follow(t, stream, err)
}

func TestWA_5_WA_3_WA_4_FirstAtOnceThenOnChangeAndWhole(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, e *endpoint) {
		e.Put(workload.Entry{SPIFFEID: e.ID("/a"), FederatesWith: []spiffeid.TrustDomain{bankDomain}})
		e.is("/a")
		start := time.Now()
		svids, bundles, jwt := e.x509SVIDs(t), e.x509Bundles(t), e.jwtBundles(t)
		before := svids.next()
		bundles.next()
		jwt.next()
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the first messages came after %s", waited)
		}
		time.Sleep(20 * time.Minute)
		svids.silent()
		bundles.silent()
		jwt.silent()

		bank := memdomain.New(t, "bank.example")
		e.SetBundle(bank.Bundle())
		after := svids.next()
		if len(after.Svids) != 1 || string(after.Svids[0].X509SvidKey) != string(before.Svids[0].X509SvidKey) || len(after.Svids[0].Bundle) == 0 {
			t.Error("the second message is not whole")
		}
		if string(after.FederatedBundles[bankDomain.IDString()]) != string(bank.Bundle().X509DER) {
			t.Error("the federated bundle is missing")
		}
		if n := len(bundles.next().Bundles); n != 2 {
			t.Errorf("%d X.509 bundles", n)
		}
		if n := len(jwt.next().Bundles); n != 2 {
			t.Errorf("%d JWT bundles", n)
		}
	})
}

func TestFD_41_TB_12_AForeignBundleThatGoesIsGoneFromTheNextMessage(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, e *endpoint) {
		e.Put(workload.Entry{SPIFFEID: e.ID("/a"), FederatesWith: []spiffeid.TrustDomain{bankDomain}})
		e.SetBundle(memdomain.New(t, "bank.example").Bundle())
		e.is("/a")
		svids := e.x509SVIDs(t)
		if len(svids.next().FederatedBundles) != 1 {
			t.Error("the federated bundle is missing")
		}
		e.DropBundle(bankDomain)
		if len(svids.next().FederatedBundles) != 0 {
			t.Error("the federated bundle is still there")
		}
	})
}

func TestFD_39_FD_42_FD_43_WA_15_WA_17_WA_22_WA_23_BundlesByDomain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, e *endpoint) {
		bank, corp := memdomain.New(t, "bank.example"), memdomain.New(t, "corp.example")
		e.SetBundle(bank.Bundle())
		e.SetBundle(corp.Bundle())
		e.Put(workload.Entry{SPIFFEID: e.ID("/a"), FederatesWith: []spiffeid.TrustDomain{bankDomain}})
		e.is("/a")
		bundles := e.x509Bundles(t).next().Bundles
		want := map[string]*memdomain.Domain{"spiffe://acme.example": e.Domain, "spiffe://bank.example": bank}
		if len(bundles) != len(want) {
			t.Errorf("%d X.509 bundles", len(bundles))
		}
		for td, d := range want {
			certs, err := x509.ParseCertificates(bundles[td])
			if err != nil || len(certs) != 1 || !certs[0].Equal(d.Bundle().Bundle.X509[0]) {
				t.Errorf("%s: %d certificates, %v", td, len(certs), err)
			}
		}
		jwks := e.jwtBundles(t).next().Bundles
		if len(jwks) != len(want) {
			t.Errorf("%d JWT bundles", len(jwks))
		}
		for td, d := range want {
			checkJWKS(t, jwks[td], d.Bundle().Bundle.JWT)
		}
	})
}

func TestWA_14_AnIdentityThatIsTakenEndsTheStream(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, e *endpoint) {
		e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
		e.is("/a")
		svids, bundles, jwt := e.x509SVIDs(t), e.x509Bundles(t), e.jwtBundles(t)
		svids.next()
		bundles.next()
		jwt.next()
		e.Delete("entrya")
		svids.ended(codes.PermissionDenied)
		bundles.ended(codes.PermissionDenied)
		jwt.ended(codes.PermissionDenied)
	})
}

func TestAProcessThatEndedGetsNothingMore(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, e *endpoint) {
		e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
		e.is("/a")
		svids := e.x509SVIDs(t)
		svids.next()
		e.fails(nil, fmt.Errorf("process 7 has ended: %w", attest.ErrProcessLost))
		svids.silent()
		e.PrepareRoot()
		svids.ended(codes.PermissionDenied)
	})
}

func TestWE_13_AStreamWhoseSVIDEndedIsUnavailable(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, e *endpoint) {
		e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
		e.is("/a")
		svids := e.x509SVIDs(t)
		svids.next()
		e.FailSigning(errNotReady)
		time.Sleep(59 * time.Minute)
		svids.silent()
		time.Sleep(2 * time.Minute)
		svids.ended(codes.Unavailable)
	})
}

func TestStoppingEndsStreamsWithUnavailable(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, e *endpoint) {
		e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
		e.is("/a")
		svids := e.x509SVIDs(t)
		svids.next()
		e.shutdown()
		svids.ended(codes.Unavailable)
	})
}

func TestPastTheMostCallsIsUnavailable(t *testing.T) {
	inBubble(t, func(o *api.Options) { o.MaxCalls = 3 }, func(t *testing.T, e *endpoint) {
		e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
		e.is("/a")
		ctx, cancel := context.WithCancel(header(t))
		for range 3 {
			stream, err := e.client.FetchX509SVID(ctx, &pb.X509SVIDRequest{})
			follow(t, stream, err).next()
		}
		wantCode(t, e.calls("aud", "")["FetchJWTSVID"](header(t)), codes.Unavailable)
		cancel()
		synctest.Wait()
		if err := e.calls("aud", "")["FetchJWTSVID"](header(t)); err != nil {
			t.Errorf("after the others went: %v", err)
		}
	})
}

func TestPastTheMostConnectionsNobodyElseIsHurt(t *testing.T) {
	inBubble(t, func(o *api.Options) { o.MaxConnections = 2 }, func(t *testing.T, e *endpoint) {
		e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
		e.is("/a")
		svids := e.x509SVIDs(t)
		svids.next()
		second, third := e.dial(), e.dial()
		ask := func(conn *grpc.ClientConn) error {
			_, err := pb.NewSpiffeWorkloadAPIClient(conn).FetchJWTSVID(header(t), &pb.JWTSVIDRequest{Audience: []string{"a"}})
			return err
		}
		if err := ask(second); err != nil {
			t.Error(err)
		}
		wantCode(t, ask(third), codes.Unavailable)
		second.Close()
		time.Sleep(time.Minute)
		if err := ask(third); err != nil {
			t.Errorf("after another one went: %v", err)
		}
		third.Close()
		e.PrepareRoot()
		svids.next()
	})
}

func TestAClientThatGoesLeavesNothing(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, e *endpoint) {
		e.Put(workload.Entry{SPIFFEID: e.ID("/a")})
		e.is("/a")
		ctx, cancel := context.WithCancel(header(t))
		stream, err := e.client.FetchX509SVID(ctx, &pb.X509SVIDRequest{})
		f := follow(t, stream, err)
		f.next()
		cancel()
		f.ended(codes.Canceled)
		if s := e.grants.Stats(); s.Streams != 0 || s.Subjects != 0 {
			t.Errorf("%+v", s)
		}
		if errors.Is(f.err, io.EOF) {
			t.Error("the stream ended as if all was said")
		}
	})
}
