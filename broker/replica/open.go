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

// tellCommit is after how long, once to twice, a leader that has nothing else to say
// tells the others what is committed. Whoever changes something through a follower
// waits for that, since the answer comes when the follower shows the change.
const tellCommit = 10 * time.Millisecond

// open takes the directory and starts raft on it.
func (r *Replica) open(opts Options) (err error) {
	if err := makePrivate(opts.Dir); err != nil {
		return err
	}
	if r.lock, err = lockDirectory(opts.Dir); err != nil {
		return err
	}
	if r.me, err = r.openIdentity(opts); err != nil {
		return err
	}
	openStore := opts.OpenStore
	if openStore == nil {
		openStore = OpenLog
	}
	inner, err := openStore(opts.Dir)
	if err != nil {
		return err
	}
	r.store = &checkedStore{inner: inner, where: opts.Dir, stop: r.stop}
	if r.admission.awaitsLog() {
		r.store.onFirst = func() error {
			begun := r.admission
			begun.Begun = true
			return WriteAdmission(opts.Dir, begun)
		}
	}
	snapshots := &snapshotFiles{dir: filepath.Join(opts.Dir, snapshotsDir), stop: r.stop}
	if r.trans, err = r.openTransport(opts); err != nil {
		return err
	}
	return r.startRaft(opts, snapshots)
}

// openIdentity returns who this node is, in this incarnation.
func (r *Replica) openIdentity(opts Options) (identity, error) {
	admission, _, err := ReadAdmission(opts.Dir)
	r.admission = admission
	if inside := opts.Transport != nil && opts.ID != ""; inside || err != nil {
		return identity{id: opts.ID, incarnation: 1}, err
	}
	me, err := loadIdentity(opts.Dir)
	if err != nil {
		return me, err
	}
	start, err := nextIncarnation(opts.Dir)
	if err != nil {
		return me, err
	}
	if me, err = me.show(start, r.admission.Chain); err != nil {
		return me, err
	}
	return me, r.admission.check(opts.Dir, me)
}

// openTransport opens the raft port, unless there is another way to the members.
func (r *Replica) openTransport(opts Options) (Transport, error) {
	r.line = opts.Line
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
	r.stream = &stream{
		listener: listener, advertise: cmp.Or(opts.Advertise, raft.ServerAddress(listener.Addr().String())),
		me: r.me, recognise: r.recognise, reach: r.reach, whose: r.whose, now: r.whereabouts.of, log: r.log, open: opts.Dial,
	}
	r.stream.begin()
	if r.line == nil {
		r.line = newTelephone(r.stream, r.where) // its connections end with the stream
	}
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

// config is raft's configuration before it is known how many vote.
func (r *Replica) config(opts Options) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = r.me.id
	conf.HeartbeatTimeout, conf.ElectionTimeout = manyVoters, manyVoters
	conf.LeaderLeaseTimeout = oneVoter // cannot be changed later, and is never longer than the heartbeat
	conf.SnapshotInterval = snapshotInterval
	conf.SnapshotThreshold = r.snapshotEntries
	conf.TrailingLogs = cmp.Or(opts.TrailingEntries, trailingEntries)
	conf.CommitTimeout = tellCommit
	conf.NotifyCh = r.notify
	conf.NoLegacyTelemetry = true
	conf.Logger = raftLogger(r.log)
	return conf
}
