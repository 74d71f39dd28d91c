package node

import (
	"context"
	"crypto/tls"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// serveAPI answers health on the API port: agents come with their issue.
func (n *Node) serveAPI() {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.serverCertificate() },
	}
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(config)), grpc.ConnectionTimeout(10*time.Second), grpc.MaxRecvMsgSize(64<<10),
		grpc.MaxConcurrentStreams(128), grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 5 * time.Minute}),
	)
	healthpb.RegisterHealthServer(server, readyHealth{n: n, UnimplementedHealthServer: healthpb.UnimplementedHealthServer{}})
	n.serveGRPC("API", server, n.doors.api)
}

// readyHealth answers health checks with this node's readiness.
type readyHealth struct {
	healthpb.UnimplementedHealthServer
	n *Node
}

func (h readyHealth) Check(_ context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if r.GetService() != "" {
		return nil, status.Errorf(codes.NotFound, "there is no service %.100q here: agents' services come later", r.GetService())
	}
	answer := &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}
	if h.n.readiness().Ready {
		answer.Status = healthpb.HealthCheckResponse_SERVING
	}
	return answer, nil
}
