package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin"
	"github.com/concord-id/concord/broker/spireapi"
)

// serveAdmin serves the SPIRE API and REST on the admin socket.
func (n *Node) serveAdmin() {
	split := splitAdmin(n.doors.admin)
	grpcServer := grpc.NewServer(
		grpc.Creds(adminCredentials{}), grpc.ConnectionTimeout(10*time.Second),
		grpc.MaxConcurrentStreams(1024), grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 15 * time.Minute}),
		// A signature grows a goroutine's stack; kept workers have it grown already.
		grpc.NumStreamWorkers(signers),
	)
	spireapi.Register(grpcServer, n.registrar, adminCaller, n.log)
	rest := &http.Server{
		Handler: admin.New(n.registrar, restCaller, n.log), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 16 << 10,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if c, ok := conn.(*adminConn); ok {
				return context.WithValue(ctx, callerKey{}, c.caller)
			}
			return ctx
		},
	}
	n.open("admin socket's callers", split.serve)
	n.serveGRPC("SPIRE API", grpcServer, split.gRPC)
	n.serveHTTP("REST API", rest, func() error { return rest.Serve(split.rest) })
}

// signers is how many goroutines of the SPIRE API are kept; more calls at once
// get goroutines of their own.
const signers = 8

type callerKey struct{}

// restCaller returns the caller of a REST request, false if the connection did not say.
func restCaller(ctx context.Context) (broker.Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(broker.Caller)
	return c, ok
}

// adminCaller returns the caller of a gRPC call.
func adminCaller(ctx context.Context) (broker.Caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return broker.Caller{}, errors.New("a call without a connection")
	}
	info, ok := p.AuthInfo.(adminInfo)
	if !ok {
		return broker.Caller{}, fmt.Errorf("a call over %T", p.AuthInfo)
	}
	return info.caller, nil
}
