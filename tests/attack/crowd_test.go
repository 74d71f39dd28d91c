package attack_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/world"
)

const (
	crowdDomain = "crowd.example"
	crowdID     = "spiffe://crowd.example/workload"
	patience    = 3 * time.Minute
)

// victim is a node in a process of its own: its descriptors are its own.
type victim struct {
	t     *testing.T
	dir   string
	admin *world.Admin
	ops   string
}

func startVictim(t *testing.T) *victim {
	t.Helper()
	dir := filepath.Join(world.Dir(t), "d")
	p := world.Spawn(t, nil, world.Binary(t, "cmd/concord"), world.Args(crowdDomain, dir, "--log-level", "warn")...)
	p.Up()
	v := &victim{t: t, dir: dir, admin: world.OperatorAt(t, filepath.Join(dir, "admin.sock")), ops: "http://" + world.AddressesIn(t, dir).Ops}
	v.admin.Register(client.Entry{SPIFFEID: crowdID, Selectors: []string{fmt.Sprintf("unix:uid:%d", os.Getuid())}})
	return v
}

func (v *victim) socket(name string) string { return "unix://" + filepath.Join(v.dir, name) }

// dial connects without waiting; the connection is closed with the test.
func (v *victim) dial(name string) *grpc.ClientConn {
	conn, err := grpc.NewClient(v.socket(name), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		v.t.Error(err)
		return nil
	}
	v.t.Cleanup(func() { conn.Close() })
	return conn
}

// asWorkload is a context of a call of the Workload API.
func asWorkload(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "workload.spiffe.io", "true"), patience)
	t.Cleanup(cancel)
	return ctx
}

// crowd runs n callers at once and returns how long each took; every one must succeed.
func crowd(t *testing.T, n int, call func(i int) error) []time.Duration {
	t.Helper()
	took, errs := make([]time.Duration, n), make([]error, n)
	gate := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-gate
			begun := time.Now()
			errs[i] = call(i)
			took[i] = time.Since(begun)
		})
	}
	close(gate)
	all.Wait()
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	if failed > 0 {
		t.Fatalf("%d of %d callers were not served; one of them: %v", failed, n, errors.Join(firstOf(errs)))
	}
	slices.Sort(took)
	t.Logf("%d of %d served: median %s, p99 %s", n, n, took[n/2].Round(time.Millisecond), took[n*99/100].Round(time.Millisecond))
	return took
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// answersAfterwards is how a crowd's test ends: a lone caller is served.
func (v *victim) answersAfterwards() {
	v.t.Helper()
	ctx := asWorkload(v.t)
	stream, err := pb.NewSpiffeWorkloadAPIClient(v.dial("workload.sock")).FetchX509SVID(ctx, &pb.X509SVIDRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if err != nil {
		v.t.Fatalf("the node does not answer afterwards: %v", err)
	}
	v.admin.Status()
}

func TestACrowdOfCallersIsServed(t *testing.T) {
	v := startVictim(t)
	callers := size(1000, 10000)
	conns := make([]*grpc.ClientConn, callers/2)
	for i := range conns {
		conns[i] = v.dial("workload.sock")
	}
	ctx := asWorkload(t)
	crowd(t, callers, func(i int) error {
		api := pb.NewSpiffeWorkloadAPIClient(conns[i%len(conns)])
		stream, err := api.FetchX509SVID(ctx, &pb.X509SVIDRequest{})
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	})
	v.answersAfterwards()
}

func TestACrowdThatWantsTokensIsServed(t *testing.T) {
	v := startVictim(t)
	conns := make([]*grpc.ClientConn, 100)
	for i := range conns {
		conns[i] = v.dial("workload.sock")
	}
	ctx := asWorkload(t)
	crowd(t, size(1000, 10000), func(i int) error {
		_, err := pb.NewSpiffeWorkloadAPIClient(conns[i%len(conns)]).FetchJWTSVID(ctx, &pb.JWTSVIDRequest{Audience: []string{"somebody"}})
		return err
	})
	v.answersAfterwards()
}

func TestAThousandSigningCallsAtOnceAreServed(t *testing.T) {
	v := startVictim(t)
	conn := v.dial("admin.sock")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	crowd(t, 1000, func(int) error {
		_, err := svidv1.NewSVIDClient(conn).MintJWTSVID(ctx, &svidv1.MintJWTSVIDRequest{
			Id: &types.SPIFFEID{TrustDomain: crowdDomain, Path: "/workload"}, Audience: []string{"somebody"},
		})
		return err
	})
	v.answersAfterwards()
}

// TestStreamsOpenedAtOnceAllHearOfAChange has a part of the streams read
// nothing at all: they hold up nobody.
func TestStreamsOpenedAtOnceAllHearOfAChange(t *testing.T) {
	v := startVictim(t)
	n := size(500, 4000)
	slow := n / 20
	ctx := asWorkload(t)
	streams := make([]grpc.ServerStreamingClient[pb.X509BundlesResponse], n)
	crowd(t, n, func(i int) error {
		stream, err := pb.NewSpiffeWorkloadAPIClient(v.dial("workload.sock")).FetchX509Bundles(ctx, &pb.X509BundlesRequest{})
		if err != nil {
			return err
		}
		streams[i] = stream
		_, err = stream.Recv()
		return err
	})
	// The turn is followed by the next authority at once, which is news for all.
	v.admin.Turn("x509")
	crowd(t, n-slow, func(i int) error {
		_, err := streams[slow+i].Recv()
		return err
	})
	v.answersAfterwards()
}

// TestIdleConnectionsHoldUpNobody fills every listener with connections that
// say nothing, and asks each listener beside them.
func TestIdleConnectionsHoldUpNobody(t *testing.T) {
	v := startVictim(t)
	a := world.AddressesIn(t, v.dir)
	n := size(300, 2500)
	for _, door := range []struct{ network, address string }{
		{"tcp", a.Bundle}, {"tcp", a.API}, {"tcp", a.Ops}, {"tcp", a.Raft},
		{"unix", filepath.Join(v.dir, "admin.sock")}, {"unix", filepath.Join(v.dir, "workload.sock")},
	} {
		for range n {
			conn, err := net.DialTimeout(door.network, door.address, 20*time.Second)
			if err != nil {
				t.Fatalf("%s: %v", door.address, err)
			}
			t.Cleanup(func() { conn.Close() })
		}
	}
	v.answersAfterwards()
	// The endpoint shows this domain's own SVID; who it is, other tests check.
	web := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for _, url := range []string{"https://" + a.Bundle + "/", v.ops + "/ready"} {
		answer, err := web.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s beside %d idle connections", url, answer.Status, n)
		}
	}
}

// metric reads one number from /metrics.
func (v *victim) metric(name string) float64 {
	v.t.Helper()
	answer, err := http.Get(v.ops + "/metrics")
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(text)
	if found == nil {
		v.t.Fatalf("there is no metric %s", name)
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		v.t.Fatal(err)
	}
	return value
}
