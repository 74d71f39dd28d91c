package replica

import (
	"cmp"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// How the log is kept short. A snapshot is taken when there are so many
// entries, or bytes, since the last one; the entries before it stay for members
// that are a little behind.
const (
	snapshotEntries  = 4096
	snapshotBytes    = 64 << 20
	snapshotInterval = 30 * time.Second // how often it is looked at, at least
	trailingEntries  = 1024
	cachedEntries    = 512 // kept in memory for members that are in step
)

// open takes the directory and starts raft on it.
func (r *Replica) open(opts Options) (err error) {
	if err := makePrivate(opts.Dir); err != nil {
		return err
	}
	if r.lock, err = lockDirectory(opts.Dir); err != nil {
		return err
	}
	if r.me, err = openIdentity(opts); err != nil {
		return err
	}
	openStore := opts.OpenStore
	if openStore == nil {
		openStore = openBolt
	}
	inner, err := openStore(opts.Dir)
	if err != nil {
		return err
	}
	r.store = &checkedStore{inner: inner, where: opts.Dir, stop: r.stop}
	snapshots, err := openSnapshots(filepath.Join(opts.Dir, snapshotsDir), r.stop)
	if err != nil {
		return err
	}
	if r.trans, err = r.openTransport(opts); err != nil {
		return err
	}
	return r.startRaft(opts, snapshots)
}

func openIdentity(opts Options) (identity, error) {
	if opts.Transport != nil && opts.ID != "" {
		return identity{id: opts.ID}, nil
	}
	return loadIdentity(opts.Dir)
}

// openTransport opens the raft port, unless there is another way to the members.
func (r *Replica) openTransport(opts Options) (Transport, error) {
	if opts.Transport != nil {
		return opts.Transport, nil
	}
	listener := opts.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", opts.ListenAddr); err != nil {
			return nil, fmt.Errorf("open the raft port: %w", err)
		}
	}
	r.stream = listenStream(listener, r.me, r.members, r.log)
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: r.stream, MaxPool: poolSize, Timeout: callTime, Logger: raftLogger(r.log),
	}), nil
}

// startRaft runs what can meet an error of the store on a goroutine of its
// own, which ends where it meets one.
func (r *Replica) startRaft(opts Options, snapshots *snapshotFiles) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = r.boot(opts, snapshots)
	}()
	<-done
	if cause := r.stop.cause(); cause != nil {
		return cause // nearer to what happened than what raft makes of it
	}
	return err
}

// boot makes the membership if the directory is new, and starts raft.
func (r *Replica) boot(opts Options, snapshots *snapshotFiles) error {
	heard := newHeardTransport(r.trans)
	conf := r.config(opts)
	if err := r.bootstrap(conf, opts.Servers, snapshots, heard); err != nil {
		return err
	}
	if err := r.checkTail(snapshots); err != nil {
		return err
	}
	cache, err := raft.NewLogCache(cachedEntries, r.store)
	if err != nil {
		return err
	}
	var running *raft.Raft
	if err := guarded(func() (err error) { // it panics when it cannot read its log
		running, err = raft.NewRaft(conf, r.applier, cache, r.store, snapshots, heard)
		return err
	}); err != nil {
		return fmt.Errorf("start raft in %s: %w", r.dir, err)
	}
	r.raft.Store(running)
	r.work.Go(func() { heard.relay(r.fresh.vouched, r.stopped) })
	return r.checkMembership()
}

// config is raft's configuration before it is known how many vote.
func (r *Replica) config(opts Options) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = r.me.id
	conf.HeartbeatTimeout, conf.ElectionTimeout = manyVoters, manyVoters
	conf.LeaderLeaseTimeout = oneVoter // cannot be changed later, and is never longer than the heartbeat
	conf.SnapshotInterval = snapshotInterval
	conf.SnapshotThreshold = cmp.Or(opts.SnapshotEntries, snapshotEntries)
	conf.TrailingLogs = cmp.Or(opts.TrailingEntries, trailingEntries)
	conf.NotifyCh = r.notify
	conf.NoLegacyTelemetry = true
	conf.Logger = raftLogger(r.log)
	return conf
}

// bootstrap writes the first membership into a new directory. A crash may have
// come between raft's two writes of it; then the term is there, no entry, and
// no vote was ever given.
func (r *Replica) bootstrap(conf *raft.Config, servers []raft.Server, snapshots *snapshotFiles, transport raft.Transport) error {
	last, err := r.store.LastIndex()
	if err != nil {
		return err
	}
	ids, err := snapshots.ids()
	if err != nil {
		return fmt.Errorf("list the snapshots: %w", err)
	}
	if last > 0 || len(ids) > 0 {
		return nil
	}
	if _, err := r.store.GetUint64([]byte("LastVoteTerm")); err == nil {
		return fmt.Errorf("%w: in %s a vote was given, but the log is empty and no snapshot is there; restore the directory from a backup", ErrCorrupt, r.dir)
	}
	if err := r.store.SetUint64([]byte("CurrentTerm"), 0); err != nil {
		return err
	}
	if len(servers) == 0 {
		servers = []raft.Server{{Suffrage: raft.Voter, ID: r.me.id, Address: transport.LocalAddr()}}
	}
	err = raft.BootstrapCluster(conf, r.store, r.store, snapshots, transport, raft.Configuration{Servers: servers})
	if err != nil {
		return fmt.Errorf("write the first membership into %s: %w", r.dir, err)
	}
	return nil
}

// checkTail refuses a log that does not reach back to the newest snapshot.
func (r *Replica) checkTail(snapshots *snapshotFiles) error {
	first, err := r.store.FirstIndex()
	if err != nil {
		return err
	}
	newest, err := snapshots.List()
	if err != nil {
		return err
	}
	covered := uint64(0)
	if len(newest) > 0 {
		covered = newest[0].Index
	}
	if first > covered+1 {
		return fmt.Errorf("%w: the log in %s begins with entry %d, and the newest snapshot ends with entry %d; restore the directory from a backup",
			ErrCorrupt, r.dir, first, covered)
	}
	return nil
}

// checkMembership refuses a node that its own log does not know.
func (r *Replica) checkMembership() error {
	members := r.members()
	for _, member := range members {
		if member.ID == r.me.id {
			return nil
		}
	}
	return fmt.Errorf("%w: this node's key is %s, which is none of the %d members that the log in %s knows; put its own key back as %s",
		ErrNoKey, r.me.id, len(members), r.dir, filepath.Join(r.dir, keyFile))
}
