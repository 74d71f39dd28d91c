package spireapi_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"testing"
	"time"

	debugv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/debug/v1"
	loggerv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/logger/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memcluster"
)

func TestTheLogLevelIsSetAndGoesBack(t *testing.T) {
	s := serve(t, memcluster.Options{})
	client := loggerv1.NewLoggerClient(s.conn)
	for level, want := range map[types.LogLevel]slog.Level{
		types.LogLevel_TRACE: -8, types.LogLevel_DEBUG: slog.LevelDebug, types.LogLevel_INFO: slog.LevelInfo, types.LogLevel_WARN: slog.LevelWarn,
		types.LogLevel_ERROR: slog.LevelError, types.LogLevel_FATAL: 12, types.LogLevel_PANIC: 16,
	} {
		got, err := client.SetLogLevel(t.Context(), &loggerv1.SetLogLevelRequest{NewLevel: level})
		if err != nil || got.CurrentLevel != level || got.LaunchLevel != types.LogLevel_INFO || s.Level.Level() != want {
			t.Errorf("%s: %v, %v, the level is %s", level, got, err, s.Level.Level())
		}
	}
	for _, level := range []types.LogLevel{types.LogLevel_UNSPECIFIED, 99} {
		_, err := client.SetLogLevel(t.Context(), &loggerv1.SetLogLevelRequest{NewLevel: level})
		wantCode(t, err, codes.InvalidArgument)
	}
	if got, err := client.ResetLogLevel(t.Context(), &loggerv1.ResetLogLevelRequest{}); err != nil || got.CurrentLevel != types.LogLevel_INFO {
		t.Errorf("reset: %v, %v", got, err)
	}
	s.Level.Set(slog.LevelInfo + 1) // between two of SPIRE's
	if got, err := client.GetLogger(as(t.Context(), "reader"), &loggerv1.GetLoggerRequest{}); err != nil || got.CurrentLevel != types.LogLevel_WARN {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestHealthFollowsTheNode(t *testing.T) {
	s := serve(t, memcluster.Options{})
	client := grpc_health_v1.NewHealthClient(s.conn)
	check := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		got, err := client.Check(as(t.Context(), "stranger"), &grpc_health_v1.HealthCheckRequest{})
		if err != nil || got.Status != want {
			t.Errorf("health is %v, %v, want %s", got, err, want)
		}
	}
	check(grpc_health_v1.HealthCheckResponse_SERVING)
	_, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "x"})
	wantCode(t, err, codes.InvalidArgument)
	if list, err := client.List(t.Context(), &grpc_health_v1.HealthListRequest{}); err != nil || list.Statuses[""].GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("list %v, %v", list, err)
	}
	unfounded := serve(t, memcluster.Options{Unfounded: true})
	got, err := grpc_health_v1.NewHealthClient(unfounded.conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || got.Status != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("before the domain is set up: %v, %v", got, err)
	}
}

func TestAWatchedHealthTellsAtOnce(t *testing.T) {
	s := serve(t, memcluster.Options{})
	for service, want := range map[string]grpc_health_v1.HealthCheckResponse_ServingStatus{
		"": grpc_health_v1.HealthCheckResponse_SERVING, "x": grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := grpc_health_v1.NewHealthClient(s.conn).Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := stream.Recv(); err != nil || got.Status != want {
			t.Errorf("service %q: %v, %v, want %s", service, got, err, want)
		}
		cancel()
		_, err = stream.Recv()
		wantCode(t, err, codes.Canceled)
	}
}

func TestGetInfo(t *testing.T) {
	s := serve(t, memcluster.Options{})
	svid, err := s.Signer.X509SVID(ca.X509Request{ID: s.ID("/spire/server"), PublicKey: leafKey(t), TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	s.Status.ServerSVID, s.Status.StartedAt = svid.Certificates, time.Now().Add(-time.Hour)
	createEntries(t, s, full())
	info, err := debugv1.NewDebugClient(s.conn).GetInfo(t.Context(), &debugv1.GetInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if info.EntriesCount != 1 || info.AgentsCount != 0 || info.FederatedBundlesCount != 0 || info.Uptime < 3600 || info.Uptime > 3660 {
		t.Errorf("info %v", info)
	}
	if len(info.SvidChain) != 2 || info.SvidChain[0].Id.GetPath() != "/spire/server" || info.SvidChain[0].ExpiresAt != svid.NotAfter.Unix() {
		t.Errorf("chain %v", info.SvidChain)
	}
}

func leafKey(t testing.TB) crypto.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key.Public()
}
