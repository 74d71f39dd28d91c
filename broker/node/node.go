package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/attest/process/unix"
	"github.com/concord-id/concord/broker/audit"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/rotate"
	"github.com/concord-id/concord/federation/fetch"
	"github.com/concord-id/concord/workload/grant"
)

const (
	// stopPatience bounds a graceful stop; what has not ended by then is cut off.
	stopPatience = 10 * time.Second
)

// Options are what a node is started with.
type Options struct {
	Config  Config
	Version string
	Join    string    // a join token: become a member of the cluster that it names; "" or already one: nothing
	Out     io.Writer // what a person should read at the start
	Log     io.Writer // the log, in Config's format
	Around  Surroundings
}

// Node is one running node.
type Node struct {
	config  Config
	dir     dataDir
	version string
	token   string
	startID string // of this start, and no other
	out     io.Writer
	started time.Time
	around  Surroundings

	level *slog.LevelVar
	log   *slog.Logger

	stack  stack
	intake context.Context // ends when the node begins to stop
	failed chan error      // the first machine that ended by itself

	keys      issue.Keys
	kek       *kekStore // nil with key-manager: memory
	trail     *audit.Trail
	replica   *replica.Replica
	truth     truth
	domain    issue.Domain
	issuer    *issue.Issuer
	keeper    *issue.Keeper
	handover  handover
	grants    *grant.Grants
	pool      *fetch.Pool
	registrar *registrar.Registrar
	attestor  *unix.Attestor
	doors     doors
	server    serverSVID
	addresses Addresses

	roll     roll          // what the leader has heard of the others
	admitted chan struct{} // rings when a node was let in

	kekTrouble atomic.Pointer[error]  // why followKEK has not done its work; written by it
	keyCare    atomic.Pointer[string] // why the leader's care of the keys is not done; written by tendKeys
}

// Start starts a node and returns once it serves. What was started before a
// failure has been stopped when Start returns the error.
func Start(ctx context.Context, o Options) (*Node, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	level := new(slog.LevelVar)
	parsed, err := parseLevel(o.Config.LogLevel)
	if err != nil {
		return nil, err
	}
	level.Set(parsed)
	log := newLog(o.Log, o.Config.LogFormat, level).With("node", o.Config.NodeName)
	n := &Node{
		config: o.Config, dir: dataDir(o.Config.DataDir), version: o.Version, token: o.Join, out: o.Out, started: time.Now(), around: o.Around,
		level: level, log: log, stack: stack{log: log}, failed: make(chan error, 1), issuer: issue.New(),
		admitted: make(chan struct{}, 1), startID: newUUID(),
	}
	if err := n.start(ctx); err != nil {
		err = n.cause(err)
		stopping, cancel := context.WithTimeout(context.Background(), stopPatience)
		defer cancel()
		return nil, errors.Join(err, n.stack.unwind(stopping))
	}
	return n, nil
}

// cause is why a start failed: the disk's failure, rather than what a step of
// the start made of it.
func (n *Node) cause(err error) error {
	if n.replica == nil {
		return err
	}
	select {
	case cause := <-n.replica.Failed():
		return cause
	default:
		return err
	}
}

// start brings up the parts in order: the store first, intake last.
func (n *Node) start(ctx context.Context) error {
	for _, part := range []func(context.Context) error{
		n.openData, n.openDoors, n.join, n.openKeys, n.openReplica, n.awaitLeader, n.startMachines, n.awaitIssuer, n.serve,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	n.log.Info("serving", "trust_domain", n.domain.TrustDomain.Name(), "took", time.Since(n.started).Round(time.Millisecond),
		"api", n.addresses.API, "bundle", n.addresses.Bundle, "raft", n.addresses.Raft, "ops", n.addresses.Ops)
	n.greet()
	return nil
}

// Wait returns when ctx ends (nil), or with the error for which the node must stop.
func (n *Node) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.failed:
		return err
	case err := <-n.replica.Failed():
		return err
	}
}

// Stop ends intake, then the machines, then the store.
func (n *Node) Stop() error {
	n.log.Info("stopping")
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	n.handLeadershipOn(ctx)
	err := n.stack.unwind(ctx)
	n.log.Info("stopped")
	return err
}

// Addresses are what the node really listens on.
func (n *Node) Addresses() Addresses { return n.addresses }

// fail ends the node; the first reason counts.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
}

// openData makes the data directory this process's own.
func (n *Node) openData(context.Context) error {
	if err := n.dir.prepare(); err != nil {
		return err
	}
	lock, err := n.dir.lock()
	if err != nil {
		return err
	}
	n.stack.push("data directory", func(context.Context) error { return unlock(lock) })
	if _, err := os.Stat(n.dir.removal()); err == nil {
		return errRemoved
	}
	return n.dir.unrestored()
}

// openReplica opens the log and the audit trail that follows it.
func (n *Node) openReplica(ctx context.Context) error {
	trail, err := openTrail(n.dir.audit(), n.log)
	if err != nil {
		return err
	}
	n.trail = trail
	n.stack.push("audit trail", func(context.Context) error { return trail.Close() })
	n.replica, err = replica.Open(ctx, replica.Options{
		Dir: n.dir.raft(), Log: n.log, Trail: trail, Listener: n.doors.raft, Advertise: raft.ServerAddress(n.advertised()),
		OpenStore: n.around.OpenLog, Dial: n.around.network().Dial, Answering: n.roll.answers,
		Now: n.around.now, ClocksAgree: company{n}.clocksAgree,
		SnapshotEntries: n.around.SnapshotEntries, TrailingEntries: n.around.TrailingEntries,
	})
	if err != nil {
		return fmt.Errorf("open the data in %s: %w", n.config.DataDir, err)
	}
	n.stack.push("replica", func(context.Context) error { return n.replica.Close() })
	n.answerKEKs()
	n.truth = truth{replica: n.replica, maxStaleness: n.config.MaxStaleness}
	return nil
}

// startMachines starts everything that works by itself.
func (n *Node) startMachines(context.Context) error {
	denied, err := n.config.denied()
	if err != nil {
		return err
	}
	n.grants = grant.New(grant.Options{Source: n.truth, Signer: signer{n}, Log: n.log})
	n.keeper = issue.NewKeeper(issue.Options{
		Issuer: n.issuer, Domain: n.domain, Ledger: n.authorities(), Root: leaderRoot{n}, Log: n.log, Turned: n.turned,
	})
	n.pool = fetch.New(fetch.Options{Ledger: peers{truth: n.truth, me: n.replica.ID()}, Store: bundleStore{n}, Log: n.log, DenyNetworks: denied, Dial: n.around.fetching()})
	n.attestor = unix.NewAttestor(unix.Options{})
	n.registrar = registrar.New(registrar.Parts{
		Ledger: stamped{n.replica, n.around.now}, Peers: &polls{n: n}, Signer: signer{n}, Keys: keyMaker{n},
		Trail: trailReader{n.trail}, Cluster: membership{n}, Node: n.status, Staleness: n.config.MaxStaleness, Log: n.log, Level: n.level,
	})
	turner := rotate.New(turning{n.authorities(), n}, n.domain, company{n}, n.log)
	n.answer()

	n.stack.run("key-encryption key", n.fail, n.followKEK)
	n.stack.run("care of the keys", n.fail, func(ctx context.Context) error { return n.replica.WhileLeading(ctx, n.tendKeys) })
	n.stack.run("key keeper", n.fail, n.keeper.Run)
	n.stack.run("grants", n.fail, n.grants.Run)
	n.stack.run("changes to grants", n.fail, func(ctx context.Context) error { return n.truth.followGrants(ctx, n.grants) })
	n.stack.run("rotation", n.fail, func(ctx context.Context) error {
		return n.replica.WhileLeading(ctx, func(ctx context.Context) {
			if err := turner.Run(ctx); err != nil && ctx.Err() == nil {
				n.fail(fmt.Errorf("rotation: %w", err))
			}
		})
	})
	n.stack.run("lost keys", n.fail, func(ctx context.Context) error {
		return n.replica.WhileLeading(ctx, func(ctx context.Context) { n.replaceLost(ctx) })
	})
	n.stack.run("pollers", n.fail, n.pool.Run)
	n.stack.run("care of the members", n.fail, func(ctx context.Context) error { return n.replica.WhileLeading(ctx, n.tend) })
	n.stack.run("this node in the state", n.fail, n.watchItself)
	return nil
}

// awaitIssuer gives the keeper its first moment, so that the first caller finds
// a node that signs. One that cannot yet serves all the same: /ready says why.
func (n *Node) awaitIssuer(context.Context) error {
	signed(n, func(now time.Time) (struct{}, error) { return struct{}{}, n.issuer.Ready(now) })
	return nil
}

// say tells a person something at the start.
func (n *Node) say(format string, args ...any) { fmt.Fprintf(n.out, format+"\n", args...) }

// greet says what runs and what to try.
func (n *Node) greet() {
	td := n.domain.TrustDomain.Name()
	if n.config.TrustDomain == "" && n.token == "" {
		n.say("No trust domain was given: this one is called %s and stays so in %s.", td, n.config.DataDir)
	}
	n.say("Trust domain %s is up. Bundle endpoint: https://%s/ (%s). Health: http://%s/ready", td, n.addresses.Bundle, n.config.BundleProfile, n.addresses.Ops)
	n.say("Try, in another terminal:")
	n.say("  concord status --socket %s", n.dir.admin())
	n.say("  concord entry create --spiffe-id spiffe://%s/hello --selector unix:uid:%d --socket %s", td, os.Getuid(), n.dir.admin())
	n.say("  concord svid fetch --socket %s", n.dir.workload())
}

// listen opens a listener and says whose address it was if that fails.
func (n *Node) listen(key, address string) (net.Listener, error) {
	listener, err := n.around.network().Listen(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return listener, nil
}
