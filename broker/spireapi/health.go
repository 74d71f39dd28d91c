package spireapi

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// health is grpc.health.v1.Health for the server as a whole; it needs no
// right. Services have no health of their own.
type health struct {
	grpc_health_v1.UnsafeHealthServer
	desk
}

// healthInterval is how often a watched health is looked at again.
const healthInterval = time.Second

func (s health) serving() *grpc_health_v1.HealthCheckResponse {
	if !s.registrar.Serving() {
		return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_NOT_SERVING}
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
}

func (s health) Check(_ context.Context, req *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if req.Service != "" {
		return nil, status.Errorf(codes.InvalidArgument, "service %.80q has no health of its own: leave the service away", req.Service)
	}
	return s.serving(), nil
}

func (s health) List(context.Context, *grpc_health_v1.HealthListRequest) (*grpc_health_v1.HealthListResponse, error) {
	return &grpc_health_v1.HealthListResponse{Statuses: map[string]*grpc_health_v1.HealthCheckResponse{"": s.serving()}}, nil
}

func (s health) Watch(req *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	if req.Service != "" {
		// The protocol's answer for a service that is not known (health.proto, Watch).
		if err := stream.Send(&grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN}); err != nil {
			return err
		}
		<-stream.Context().Done()
		return status.FromContextError(stream.Context().Err()).Err()
	}
	ticks := time.NewTicker(healthInterval)
	defer ticks.Stop()
	told := grpc_health_v1.HealthCheckResponse_UNKNOWN
	for {
		now := s.serving()
		if now.Status != told {
			if err := stream.Send(now); err != nil {
				return err
			}
			told = now.Status
		}
		select {
		case <-ticks.C:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}
