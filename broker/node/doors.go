package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"

	"github.com/concord-id/concord/attest/process/unix"
	"github.com/concord-id/concord/federation/endpoint"
	"github.com/concord-id/concord/workload/api"
)

// doors are what a node listens on.
type doors struct {
	api, bundle, ops, raft net.Listener
	admin                  net.Listener
	workload               *unix.Listener
	endpoint               *endpoint.Handler
	server                 *endpoint.Server
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
		{"listen-raft", n.config.ListenRaft, &n.doors.raft},
	} {
		listener, err := n.listen(door.key, door.address)
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

// doorPatience is how long a stopping node waits for calls that are under way.
const doorPatience = 2 * time.Second

// open runs the server of a door.
func (n *Node) open(name string, serve func(context.Context) error) {
	n.stack.runOn(n.intake, name, n.fail, serve)
}

// serve opens every door. They are closed together, so that a node stops as fast as
// the slowest of those whom it lets finish, and not as all of them one after another.
func (n *Node) serve(ctx context.Context) error {
	intake, closeAll := context.WithCancel(context.Background())
	n.intake = intake
	defer n.stack.push("intake", func(context.Context) error { closeAll(); return nil })
	n.addresses = Addresses{
		API: n.doors.api.Addr().String(), Raft: n.replica.Addr().String(),
		Bundle: n.doors.bundle.Addr().String(), Ops: n.doors.ops.Addr().String(),
	}
	// The operations port tells of all the others, so it comes after what it tells of.
	if err := n.serveBundle(); err != nil {
		return err
	}
	n.serveOps()
	n.serveAPI()
	if n.around.Network == nil {
		if err := n.serveSockets(); err != nil {
			return err
		}
	}
	return n.dir.write(n.addresses)
}

// serveSockets opens the doors of this machine.
func (n *Node) serveSockets() error {
	if err := n.openSockets(); err != nil {
		return err
	}
	n.serveAdmin()
	workloads := api.New(api.Options{
		Grants: n.grants, Attestor: n.attestor, Credentials: unix.Credentials(), Caller: unix.ProcessOf, Log: n.log,
	})
	n.open("workload API", func(ctx context.Context) error { return workloads.Serve(ctx, n.doors.workload) })
	return nil
}

func (n *Node) serveOps() {
	server := &http.Server{
		Handler: n.opsHandler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	n.serveHTTP("operations", server, func() error { return server.Serve(n.doors.ops) })
}

// serveGRPC runs a gRPC server as a part of the node.
func (n *Node) serveGRPC(name string, server *grpc.Server, listener net.Listener) {
	n.open(name, func(ctx context.Context) error {
		callers := &guests{Listener: listener}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(callers) }()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
		}
		patience := time.AfterFunc(doorPatience, func() {
			callers.hangUp()
			server.Stop()
		})
		server.GracefulStop()
		patience.Stop()
		<-ended
		return nil
	})
}
