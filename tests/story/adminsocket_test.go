package story

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	"google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/world"
)

// knock connects to the admin socket and says something; the connection stays
// open until the test ends.
func knock(t *testing.T, n *world.Node, say string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(world.Soon(t), "unix", n.Path("admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, say); err != nil {
		t.Fatal(err)
	}
	return conn
}

// What an HTTP/2 client says first (RFC 9113 §3.4).
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func TestStrayConnectionsToTheAdminSocketHarmNobody(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	for _, say := range []string{
		"", "P", http2Preface[:10], http2Preface[:len(http2Preface)-1], http2Preface, http2Preface + "noise that is no frame",
		"PRI * HTTP/2.0\r\n\r\nSM\r\nGET / HTTP/1.1\r\n\r\n", "GET /v1/status HTTP/1.1\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01", strings.Repeat("\x00", 4096), "\r\n\r\n",
	} {
		knock(t, n, say)
		knock(t, n, say).Close()
	}
	var idle sync.WaitGroup
	for range 10 {
		idle.Go(func() {
			for range 100 {
				knock(t, n, "")
			}
		})
	}
	idle.Wait()
	// All of that is still open, and both kinds of callers are served.
	entries, ctx := entryv1.NewEntryClient(n.Dial("admin.sock")), world.Soon(t)
	var calling sync.WaitGroup
	for caller := range 8 {
		calling.Go(func() {
			for i := range 10 {
				made := n.Admin().Register(client.Entry{SPIFFEID: n.ID(fmt.Sprintf("/%d/%d", caller, i)).String()})
				if got, err := entries.GetEntry(ctx, &entryv1.GetEntryRequest{Id: made.ID}); err != nil || got.SpiffeId.Path != fmt.Sprintf("/%d/%d", caller, i) {
					t.Errorf("gRPC shows %v, %v", got, err)
				}
			}
		})
	}
	calling.Wait()
}

func TestWhatIsNotHTTPIsAnsweredOrHungUpOn(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	for _, say := range []string{"\x16\x03\x01\x02\x00\x01\x00\x00", "hello\r\n\r\n", http2Preface + strings.Repeat("\xff", 64), "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"} {
		conn := knock(t, n, say)
		if err := conn.SetDeadline(time.Now().Add(world.Patience)); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") || strings.Contains(string(answer), "200 OK") {
			t.Errorf("%q: answered %q, %v", say, answer, err)
		}
	}
}

// A web page that a browser was talked into asking cannot administer.
func TestAWebPageIsRefused(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	conn := knock(t, n, "GET /v1/status HTTP/1.1\r\nHost: concord\r\nOrigin: https://evil.example\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("answered %s", answer.Status)
	}
}

// Everything that can be open is, and the node is told to stop.
func TestANodeStopsInTimeWhateverIsOpen(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example"), world.Soon(t)
	admin := n.Admin()
	// Streams of workloads.
	admin.Register(client.Entry{SPIFFEID: n.ID("/billing").String()})
	for range 50 {
		n.WatchX509().Next()
	}
	// Streams of the SPIRE API.
	conn := n.Dial("admin.sock")
	health, err := grpc_health_v1.NewHealthClient(conn).Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := health.Recv(); err != nil {
		t.Fatal(err)
	}
	reflecting, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := reflecting.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := reflecting.Recv(); err != nil {
		t.Fatal(err)
	}
	// Somebody who follows the audit trail, and a refresh of a peer that hangs.
	followed := make(chan struct{}, 100)
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	waiting.Go(func() {
		client.Stream(following, client.New(n.Path("admin.sock"), "a test"), client.Path("audit"), url.Values{"follow": {"true"}, "after": {"0"}}, func(client.AuditRecord) error {
			followed <- struct{}{}
			return nil
		})
	})
	<-followed
	bank := world.NewPeer(t, "bank.example", "https_web")
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	defer close(release)
	bank.Answer(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	admin.Relate(bank.Relationship())
	waiting.Go(func() {
		admin.Try(http.MethodPost, client.Path("federation", "bank.example", "refresh"), nil, nil, nil)
	})
	<-arrived
	// Connections that say nothing, at every door.
	for _, address := range []string{n.Addresses().API, n.Addresses().Bundle, n.Addresses().Ops, n.Addresses().Raft} {
		silent, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	knock(t, n, "")
	knock(t, n, http2Preface)
	knock(t, n, "POST /v1/entries HTTP/1.1\r\nHost: concord\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
	quiet, err := tls.Dial("tcp", n.Addresses().API, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.Close()
	admitted(t, n)

	begun := time.Now()
	n.Stop()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s", took)
	} else {
		t.Logf("it took %s", took)
	}
	// And nothing is left that keeps the next one out.
	n.Start()
	if got := n.Admin().Entries(); len(got) != 1 {
		t.Errorf("%d entries", len(got))
	}
}
