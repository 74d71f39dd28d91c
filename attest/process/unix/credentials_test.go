package unix_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/attest/process/unix"
)

// observed starts a gRPC server on l that hands each caller to see.
func observed(t *testing.T, l net.Listener, see func(ctx context.Context)) {
	t.Helper()
	server := grpc.NewServer(grpc.Creds(unix.Credentials()), grpc.UnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			see(ctx)
			return handler(ctx, request)
		}))
	healthpb.RegisterHealthServer(server, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// call makes one call, and closes its connection.
func call(t *testing.T, socket string) error {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

// A plain client is known without doing anything for it.
func TestWE_9_PeerIsKnownWithoutClientAuthentication(t *testing.T) {
	l, socket := listen(t)
	counting := count(l)
	var seen attest.Process
	observed(t, counting, func(ctx context.Context) {
		p, ok := unix.ProcessOf(ctx)
		if !ok {
			t.Error("the caller has no process")
			return
		}
		if err := p.Alive(); err != nil {
			t.Error(err)
		}
		if p, _ := peer.FromContext(ctx); p.AuthInfo.AuthType() != "unix-peer" {
			t.Errorf("auth type %q", p.AuthInfo.AuthType())
		}
		seen = p
	})
	if err := call(t, socket); err != nil {
		t.Fatal(err)
	}
	if int(seen.PID) != os.Getpid() || int(seen.UID) != os.Geteuid() || int(seen.GID) != os.Getegid() {
		t.Errorf("the caller is process %d, user %d, group %d", seen.PID, seen.UID, seen.GID)
	}
	counting.wait(1)
	if err := seen.Alive(); err == nil || errors.Is(err, attest.ErrProcessLost) {
		t.Errorf("after its connection, Alive says %v", err)
	}
}

func TestConnectionOfAnotherListenerIsRefused(t *testing.T) {
	socket := filepath.Join(folder(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	observed(t, l, func(context.Context) { t.Error("a caller without a process was served") })
	if err := call(t, socket); err == nil {
		t.Error("the call succeeded")
	}
}

func TestProcessOfACallThatCameAnotherWay(t *testing.T) {
	for name, ctx := range map[string]context.Context{
		"no call":           t.Context(),
		"no credentials":    peer.NewContext(t.Context(), &peer.Peer{}),
		"other credentials": peer.NewContext(t.Context(), &peer.Peer{AuthInfo: otherAuthInfo{}}),
	} {
		if p, ok := unix.ProcessOf(ctx); ok {
			t.Errorf("%s: process %v", name, p.PID)
		}
	}
}

type otherAuthInfo struct{}

func (otherAuthInfo) AuthType() string { return "other" }

func TestCredentialsAreAServers(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	if _, _, err := unix.Credentials().ClientHandshake(t.Context(), "", client); err == nil || !strings.Contains(err.Error(), "server") {
		t.Errorf("a client's handshake: %v", err)
	}
	if protocol := unix.Credentials().Clone().Info().SecurityProtocol; protocol != "unix-peer" {
		t.Errorf("protocol %q", protocol)
	}
}
