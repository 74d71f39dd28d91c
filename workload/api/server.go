// Package api is the SPIFFE Workload API and its endpoint: a gRPC server whose
// callers are known by what an attestor observes of them.
//
// It decides nothing of what a workload gets, which is workload/grant's, and
// adds nothing to the service that the specification describes. It refuses
// calls without the security header, and it sends nothing to a process that is
// no longer the one that called.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/workload/grant"
)

// Options are what a Server is made of.
type Options struct {
	Grants   *grant.Grants
	Attestor attest.ProcessAttestor
	// Credentials let a listener's connections in, and Caller returns the
	// process at the other end of the connection that a call came over; false
	// if it is not known.
	Credentials credentials.TransportCredentials
	Caller      func(context.Context) (attest.Process, bool)
	Log         *slog.Logger

	MaxConnections int // at once; 0: as many as the process has descriptors for
	MaxCalls       int // at once, open streams included; 0: DefaultMaxCalls
}

// DefaultMaxCalls is how many calls are served at once before more are told to
// come back later.
const DefaultMaxCalls = 20000

// Bounds on what a connection may cost.
const (
	maxRequestBytes   = 64 << 10 // a token and an audience
	maxHeaderBytes    = 16 << 10
	maxStreams        = 4096 // of a connection
	readBufferBytes   = 4 << 10
	handshakeTime     = 10 * time.Second
	idleTime          = 15 * time.Minute
	leastPingInterval = 10 * time.Second
	graceTime         = 2 * time.Second
)

// Server serves the Workload API.
type Server struct {
	grpc *grpc.Server
	// life ends when the server stops: its streams end with it.
	life context.Context
	stop context.CancelFunc
}

// New returns a Server that does nothing before Serve.
func New(o Options) *Server {
	if o.MaxCalls == 0 {
		o.MaxCalls = DefaultMaxCalls
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = defaultConnections()
	}
	d := &door{calls: make(chan struct{}, o.MaxCalls)}
	s := &Server{grpc: grpc.NewServer(
		grpc.Creds(newBounded(o.Credentials, o.MaxConnections)),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.UnaryInterceptor(d.unary),
		grpc.StreamInterceptor(d.stream),
		grpc.UnknownServiceHandler(unknown),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ReadBufferSize(readBufferBytes),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTime}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastPingInterval, PermitWithoutStream: true}),
	)}
	s.life, s.stop = context.WithCancel(context.Background())
	pb.RegisterSpiffeWorkloadAPIServer(s.grpc, &service{
		grants: o.Grants, attestor: o.Attestor, caller: o.Caller, log: o.Log, life: s.life,
	})
	reflection.Register(s.grpc)
	return s
}

// Serve answers on listener until ctx ends; then streams end with Unavailable,
// so that their clients come back, and calls have a moment to finish. It closes
// listener, and is called once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(listener) }()
	select {
	case err := <-served:
		s.stop()
		s.grpc.Stop()
		return fmt.Errorf("serve the Workload API on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.stop()
	late := time.AfterFunc(graceTime, s.grpc.Stop)
	defer late.Stop()
	s.grpc.GracefulStop()
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve the Workload API on %s: %w", listener.Addr(), err)
	}
	return nil
}
