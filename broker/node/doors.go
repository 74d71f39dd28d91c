package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/attest/process/unix"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin"
	"github.com/concord-id/concord/broker/spireapi"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/endpoint"
	"github.com/concord-id/concord/workload/api"
)

// doors are what a node listens on.
type doors struct {
	api, bundle, ops net.Listener
	admin            net.Listener
	workload         *unix.Listener
	endpoint         *endpoint.Handler
	server           *endpoint.Server
}

// openDoors takes every address before anything else is done, so that one that
// is taken is found out at once.
func (n *Node) openDoors(context.Context) error {
	for _, door := range []struct {
		key, address string
		to           *net.Listener
	}{
		{"listen-api", n.config.ListenAPI, &n.doors.api},
		{"listen-bundle", n.config.ListenBundle, &n.doors.bundle},
		{"listen-ops", n.config.ListenOps, &n.doors.ops},
	} {
		listener, err := listen(door.key, door.address)
		if err != nil {
			return err
		}
		*door.to = listener
		n.stack.push(door.key, closing(listener))
	}
	return nil
}

// closing closes a listener that its server may have closed already.
func closing(listener net.Listener) func(context.Context) error {
	return func(context.Context) error {
		if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// openSockets makes the sockets. It comes after the data directory is known to
// be this process's alone: a second process must not take its sockets.
func (n *Node) openSockets() error {
	mode := os.FileMode(0o600)
	if n.config.AdminGID >= 0 {
		mode = 0o660
	}
	adminListener, err := unix.Listen(n.dir.admin(), mode)
	if err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	n.stack.push("admin socket", closing(adminListener))
	if n.config.AdminGID >= 0 {
		if err := os.Chown(n.dir.admin(), -1, n.config.AdminGID); err != nil {
			return fmt.Errorf("admin-gid: %w", err)
		}
	}
	n.doors.admin = adminListener
	n.doors.workload, err = unix.Listen(n.dir.workload(), 0o666)
	if err != nil {
		return fmt.Errorf("workload socket: %w", err)
	}
	n.stack.push("workload socket", closing(n.doors.workload))
	return nil
}

// serve opens every door.
func (n *Node) serve(ctx context.Context) error {
	if err := n.openSockets(); err != nil {
		return err
	}
	n.serveOps()
	if err := n.serveBundle(); err != nil {
		return err
	}
	n.serveAPI()
	n.serveAdmin()
	workloads := api.New(api.Options{
		Grants: n.grants, Attestor: n.attestor, Credentials: unix.Credentials(), Caller: unix.ProcessOf, Log: n.log,
	})
	n.stack.run("workload API", n.fail, func(ctx context.Context) error { return workloads.Serve(ctx, n.doors.workload) })
	n.addresses = Addresses{
		API: n.doors.api.Addr().String(), Raft: n.replica.Addr().String(),
		Bundle: n.doors.bundle.Addr().String(), Ops: n.doors.ops.Addr().String(),
	}
	return n.dir.write(n.addresses)
}

func (n *Node) serveOps() {
	server := &http.Server{
		Handler: n.opsHandler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	n.serveHTTP("operations", server, func() error { return server.Serve(n.doors.ops) })
}

// ownBundle is what the bundle endpoint serves.
type ownBundle struct{ truth }

func (b ownBundle) Current() endpoint.Current {
	since, heard := b.replica.Staleness()
	c := endpoint.Current{Bundle: b.replica.View().Own(), Stale: !heard || since > b.maxStaleness}
	// With a leader the view is confirmed every heartbeat: that is not an age.
	if since > confirmedWithin {
		c.Age = since
	}
	return c
}

// confirmedWithin is how old a view is while there is a leader, at most.
const confirmedWithin = 2 * time.Second

func (b ownBundle) Wait(ctx context.Context, sequence uint64) error {
	watcher := b.replica.Feed().Watch()
	for {
		view, _, err := watcher.Wait(ctx)
		if err != nil {
			return err
		}
		if own := view.Own(); own != nil && own.Bundle.Sequence >= sequence {
			return nil
		}
	}
}

func (n *Node) serveBundle() error {
	certificate := n.serverCertificate
	if n.config.BundleProfile == federation.HTTPSWeb {
		files, err := endpoint.Files(n.config.BundleCert, n.config.BundleKey, n.log)
		if err != nil {
			return fmt.Errorf("bundle-cert, bundle-key: %w", err)
		}
		certificate = files.Certificate
	}
	n.doors.endpoint = endpoint.NewHandler(ownBundle{n.truth})
	n.doors.server = endpoint.NewServer(endpoint.Options{
		Handler: n.doors.endpoint, Certificate: certificate, Profile: n.config.BundleProfile, Log: n.log,
	})
	n.stack.run("bundle endpoint", n.fail, func(ctx context.Context) error { return n.doors.server.Serve(ctx, n.doors.bundle) })
	return nil
}

// serverSVID is this node's own /spire/server certificate.
type serverSVID struct {
	mu          sync.Mutex
	certificate *tls.Certificate
	authority   string
	renewAt     time.Time
}

// serverCertificate presents spiffe://<td>/spire/server, signed by this node's
// intermediate; it is made anew at half of its life, or when the root turned.
func (n *Node) serverCertificate() (*tls.Certificate, error) {
	n.server.mu.Lock()
	defer n.server.mu.Unlock()
	now := time.Now()
	intermediate := n.issuer.X509()
	if n.server.certificate != nil && now.Before(n.server.renewAt) && intermediate != nil && intermediate.AuthorityID() == n.server.authority {
		return n.server.certificate, nil
	}
	id, err := spiffeid.FromPath(n.domain.TrustDomain, "/spire/server")
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	domain, _ := n.replica.View().Domain()
	svid, err := n.issuer.X509SVID(ca.X509Request{ID: id, PublicKey: key.Public(), TTL: domain.Settings.X509TTL}, now)
	if err != nil {
		return nil, fmt.Errorf("sign this node's own certificate: %w", err)
	}
	n.server.certificate = &tls.Certificate{Certificate: svid.Certificates, PrivateKey: key, Leaf: svid.Leaf}
	n.server.authority = svid.AuthorityID
	n.server.renewAt = now.Add(svid.NotAfter.Sub(now) / 2)
	return n.server.certificate, nil
}

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

// serveGRPC runs a gRPC server as a part of the node.
func (n *Node) serveGRPC(name string, server *grpc.Server, listener net.Listener) {
	n.stack.run(name, n.fail, func(ctx context.Context) error {
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
		}
		patience := time.AfterFunc(2*time.Second, server.Stop)
		server.GracefulStop()
		patience.Stop()
		<-ended
		return nil
	})
}

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
	n.stack.run("admin socket's callers", n.fail, split.serve)
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
