package api

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// securityHeader is what every call to the endpoint carries. A browser that was
// talked into calling cannot (Workload Endpoint §3).
const securityHeader = "workload.spiffe.io"

// door is what every call passes first, reflection and calls that do not exist
// included.
type door struct {
	calls chan struct{} // one for each call inside
}

// enter checks the security header and takes a place. leave gives it back.
func (d *door) enter(ctx context.Context) (leave func(), err error) {
	if v := metadata.ValueFromIncomingContext(ctx, securityHeader); len(v) != 1 || v[0] != "true" {
		return nil, status.Error(codes.InvalidArgument, "the call lacks the security header: send metadata workload.spiffe.io: true (Workload Endpoint §3)")
	}
	select {
	case d.calls <- struct{}{}:
		return func() { <-d.calls }, nil
	default:
		return nil, status.Errorf(codes.Unavailable, "%d calls are being served already: try again later", cap(d.calls))
	}
}

func (d *door) unary(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return handle(ctx, request)
}

func (d *door) stream(server any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	leave, err := d.enter(s.Context())
	if err != nil {
		return err
	}
	defer leave()
	return handle(server, s)
}

// unknown answers calls that do not exist (Workload Endpoint, appendix A).
func unknown(_ any, s grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(s)
	return status.Errorf(codes.Unimplemented, "this endpoint has no method %.200q", method)
}
