// Package spireapi is the SPIRE server's gRPC API, so that what is written
// against SPIRE works with Concord. It only translates: rights, rules and
// writes are registrar's. Where it answers otherwise than SPIRE does,
// docs/spire-compat.md says so.
package spireapi

import (
	"context"
	"log/slog"

	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	debugv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/debug/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	localauthorityv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/localauthority/v1"
	loggerv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/logger/v1"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	trustdomainv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/trustdomain/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
)

// Metadata that a caller may send with any call.
const (
	// RequestIDHeader makes a retry harmless: what was done under an ID is not
	// done again for an hour.
	RequestIDHeader = "concord-request-id"
	// CauseHeader says why, for the audit trail.
	CauseHeader = "concord-cause"
)

// Authenticate tells who the caller of a gRPC call is, from its connection.
type Authenticate func(ctx context.Context) (broker.Caller, error)

// Register adds the services of SPIRE's server API, gRPC health and gRPC
// reflection to s. Internal errors go to log and are shown to nobody else.
func Register(s reflection.GRPCServer, r *registrar.Registrar, callers Authenticate, log *slog.Logger) {
	d := desk{registrar: r, authenticate: callers, log: log}
	entryv1.RegisterEntryServer(s, entries{desk: d})
	bundlev1.RegisterBundleServer(s, bundles{desk: d})
	trustdomainv1.RegisterTrustDomainServer(s, trustDomains{desk: d})
	agentv1.RegisterAgentServer(s, agents{desk: d})
	svidv1.RegisterSVIDServer(s, svids{desk: d})
	localauthorityv1.RegisterLocalAuthorityServer(s, localAuthorities{desk: d})
	loggerv1.RegisterLoggerServer(s, loggers{desk: d})
	debugv1.RegisterDebugServer(s, debugging{desk: d})
	grpc_health_v1.RegisterHealthServer(s, health{desk: d})
	reflection.Register(s)
}

// desk is what every service works with.
type desk struct {
	registrar    *registrar.Registrar
	authenticate Authenticate
	log          *slog.Logger
}

// caller is who calls, with what they said of the call.
func (d desk) caller(ctx context.Context) (broker.Caller, error) {
	who, err := d.authenticate(ctx)
	if err != nil {
		return broker.Caller{}, d.err(ctx, err)
	}
	said, _ := metadata.FromIncomingContext(ctx)
	if id := said.Get(RequestIDHeader); len(id) > 0 {
		who.RequestID = id[0]
	}
	if cause := said.Get(CauseHeader); len(cause) > 0 {
		who.Cause = cause[0]
	}
	if who.Cause == "" {
		who.Cause, _ = grpc.Method(ctx)
	}
	return who, nil
}
