package api

import (
	"context"
	"crypto"
	"errors"
	"iter"
	"log/slog"
	"time"

	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/workload"
	"github.com/concord-id/concord/workload/grant"
)

// service is the Workload API. The methods of the WIT-SVID profile are the
// embedded ones: Unimplemented (Workload API §7).
type service struct {
	pb.UnimplementedSpiffeWorkloadAPIServer
	grants   *grant.Grants
	attestor attest.ProcessAttestor
	caller   func(context.Context) (attest.Process, bool)
	log      *slog.Logger
	life     context.Context
}

// FetchX509SVID streams the caller's X.509-SVIDs (Workload API §5.2.1).
func (s *service) FetchX509SVID(_ *pb.X509SVIDRequest, stream grpc.ServerStreamingServer[pb.X509SVIDResponse]) error {
	return s.follow(stream, grant.X509SVIDs)
}

// FetchX509Bundles streams the X.509 bundles that the caller is entitled to
// (Workload API §5.2.2).
func (s *service) FetchX509Bundles(_ *pb.X509BundlesRequest, stream grpc.ServerStreamingServer[pb.X509BundlesResponse]) error {
	return s.follow(stream, grant.X509Bundles)
}

// FetchJWTBundles streams the JWT bundles that the caller is entitled to
// (Workload API §6.2.2).
func (s *service) FetchJWTBundles(_ *pb.JWTBundlesRequest, stream grpc.ServerStreamingServer[pb.JWTBundlesResponse]) error {
	return s.follow(stream, grant.JWTBundles)
}

// follow sends the caller each message of a kind until they are no longer
// entitled to any, or go.
func (s *service) follow(stream grpc.ServerStream, kind grant.Kind) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(errStopping) })()
	who, err := s.identify(ctx)
	if err != nil {
		return err
	}
	subscription, err := s.grants.Subscribe(who.selectors, kind)
	if err != nil {
		return s.refuse(ctx, who, err)
	}
	defer subscription.Close()
	for {
		message, err := subscription.Next(ctx)
		if err != nil {
			return s.refuse(ctx, who, err)
		}
		if err := who.check(); err != nil {
			return err
		}
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
}

// FetchJWTSVID signs tokens for the caller (Workload API §6.2.1).
func (s *service) FetchJWTSVID(ctx context.Context, request *pb.JWTSVIDRequest) (*pb.JWTSVIDResponse, error) {
	if err := ca.CheckAudience(request.Audience); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "audience: %v", err)
	}
	var only spiffeid.ID
	if request.SpiffeId != "" {
		var err error
		if only, err = workload.ParseID(request.SpiffeId); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "spiffe_id: %v", err)
		}
	}
	who, err := s.identify(ctx)
	if err != nil {
		return nil, err
	}
	svids, err := s.grants.JWTSVIDs(ctx, who.selectors, request.Audience, only)
	if err != nil {
		return nil, s.refuse(ctx, who, err)
	}
	response := &pb.JWTSVIDResponse{Svids: make([]*pb.JWTSVID, len(svids))}
	for i, svid := range svids {
		response.Svids[i] = &pb.JWTSVID{SpiffeId: svid.ID.String(), Svid: svid.Token, Hint: svid.Hint}
	}
	if err := who.check(); err != nil {
		return nil, err
	}
	return response, nil
}

// ValidateJWTSVID validates a token for the caller, with the bundles that the
// caller is entitled to (Workload API §6.2.3, §6.3).
func (s *service) ValidateJWTSVID(ctx context.Context, request *pb.ValidateJWTSVIDRequest) (*pb.ValidateJWTSVIDResponse, error) {
	switch {
	case request.Audience == "":
		return nil, status.Error(codes.InvalidArgument, "audience: it is empty: name the audience that the token must be for")
	case request.Svid == "":
		return nil, status.Error(codes.InvalidArgument, "svid: it is empty: send the token to validate")
	}
	who, err := s.identify(ctx)
	if err != nil {
		return nil, err
	}
	trust, err := s.grants.Trust(who.selectors)
	if err != nil {
		return nil, s.refuse(ctx, who, err)
	}
	claims, err := ca.VerifyJWTSVID(request.Svid, request.Audience, jwtKeys(trust), time.Now())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "svid: %v", err)
	}
	all, err := structpb.NewStruct(claims.All)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "svid: its claims cannot be returned: %v", err)
	}
	if err := who.check(); err != nil {
		return nil, err
	}
	return &pb.ValidateJWTSVIDResponse{SpiffeId: claims.ID.String(), Claims: all}, nil
}

// jwtKeys are the keys that t trusts, each for its own domain only.
func jwtKeys(t grant.Trust) ca.JWTKeys {
	return func(td spiffeid.TrustDomain) (iter.Seq2[string, crypto.PublicKey], bool) {
		published := t.Bundle(td)
		if published == nil {
			return nil, false
		}
		return func(yield func(string, crypto.PublicKey) bool) {
			for _, authority := range published.Bundle.JWT {
				if !yield(authority.ID, authority.Key) {
					return
				}
			}
		}, true
	}
}

// errStopping ends streams when the server stops.
var errStopping = errors.New("this node stops: connect again")
