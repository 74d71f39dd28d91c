package spireapi_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/spireapi"
	"github.com/concord-id/concord/tests/memcluster"
)

const acme = "acme.example"

// served is a cluster whose SPIRE API is served.
type served struct {
	*memcluster.Cluster
	server *grpc.Server
	conn   *grpc.ClientConn
	log    *lockedBuffer
}

// serve serves the SPIRE API of a new cluster as it is served on the admin
// socket, and dials it.
func serve(t testing.TB, opts memcluster.Options) *served {
	t.Helper()
	s := &served{log: &lockedBuffer{}, server: grpc.NewServer()}
	opts.Log = slog.New(slog.NewTextHandler(s.log, nil))
	s.Cluster = memcluster.New(t, acme, opts)
	spireapi.Register(s.server, s.Registrar, authenticate, opts.Log)
	listener := bufconn.Listen(1 << 20)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.server.Serve(listener); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	conn, err := grpc.NewClient("passthrough:cluster", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	s.conn = conn
	t.Cleanup(func() {
		conn.Close()
		s.server.Stop()
		serving.Wait()
	})
	return s
}

// authenticate stands for the socket's credentials: a test says who it is.
func authenticate(ctx context.Context) (broker.Caller, error) {
	said, _ := metadata.FromIncomingContext(ctx)
	switch as := said.Get("as"); {
	case len(as) == 0:
		who := memcluster.Admin
		who.Cause = ""
		return who, nil
	case as[0] == "reader":
		return memcluster.Reader, nil
	case as[0] == "stranger":
		return broker.Caller{}, broker.Refuse(broker.Unauthenticated, "the connection has no peer credentials")
	}
	return memcluster.Nobody, nil
}

func as(ctx context.Context, role string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "as", role)
}

// lockedBuffer is a log that a test reads while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func wantCode(t testing.TB, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func wantStatus(t testing.TB, got *types.Status, want codes.Code) {
	t.Helper()
	if codes.Code(got.GetCode()) != want || got.GetMessage() == "" {
		t.Errorf("status is %v, want %s", got, want)
	}
}

func id(path string) *types.SPIFFEID { return &types.SPIFFEID{TrustDomain: acme, Path: path} }

func selectors(values ...string) []*types.Selector {
	var out []*types.Selector
	for _, v := range values {
		out = append(out, &types.Selector{Type: "unix", Value: v})
	}
	return out
}
