package spireapi

import (
	"context"
	"errors"

	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/broker"
)

// grpcCodes is the one table from refusals to gRPC. What is not in it is
// internal.
var grpcCodes = map[broker.Code]codes.Code{
	broker.InvalidArgument:    codes.InvalidArgument,
	broker.NotFound:           codes.NotFound,
	broker.AlreadyExists:      codes.AlreadyExists,
	broker.FailedPrecondition: codes.FailedPrecondition,
	broker.PermissionDenied:   codes.PermissionDenied,
	broker.Unauthenticated:    codes.Unauthenticated,
	broker.ResourceExhausted:  codes.ResourceExhausted,
	broker.Aborted:            codes.Aborted,
	broker.Unavailable:        codes.Unavailable,
}

// err makes of err what a caller may see. An internal error is logged in full.
func (d desk) err(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if code, ok := grpcCodes[broker.CodeOf(err)]; ok {
		return status.Error(code, err.Error())
	}
	if cause := ctx.Err(); cause != nil && errors.Is(err, cause) {
		return status.FromContextError(cause).Err()
	}
	if already, ok := status.FromError(err); ok && already.Code() != codes.Unknown {
		return err
	}
	method, _ := grpc.Method(ctx)
	d.log.ErrorContext(ctx, "call failed", "method", method, "error", err)
	return status.Error(codes.Internal, "internal error")
}

// status is err as the status of one item of a batch.
func (d desk) status(ctx context.Context, err error) *types.Status {
	s := status.Convert(d.err(ctx, err))
	if s.Code() == codes.OK {
		return &types.Status{Message: "OK"}
	}
	return &types.Status{Code: int32(s.Code()), Message: s.Message()}
}

// later answers a method that has no meaning before agents can attest, and is
// named in docs/spire-compat.md.
func later(what string) error {
	return status.Errorf(codes.Unimplemented, "%s is not there yet: see docs/spire-compat.md", what)
}
