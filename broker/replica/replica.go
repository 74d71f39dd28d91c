// Package replica is one member's copy of the state: it puts commands into a
// log that all members agree on, keeps that log on disk, and applies it. It
// owns the member's directory: lock, key, log, votes and snapshots.
//
// A command is acknowledged when a quorum has it on disk. Any error of the
// disk, and anything on it that is not what was written, ends the use of the
// directory: Failed says why, and the process has to end. Whether the write
// that met the error is in the log, only the next start knows; so every
// command has a request ID, by which a second proposal of it changes nothing.
//
// It refuses a second process on its directory, and on its port everybody who
// does not have the key of a member.
package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/feed"
	"github.com/concord-id/concord/broker/state"
)

// Options say where a replica lives. Dir is needed, and one of ListenAddr,
// Listener and Transport.
type Options struct {
	Dir   string       // its own directory, made 0700 if it is not there
	Log   *slog.Logger // nil: slog.Default()
	Trail Trail        // nil: no audit trail is kept

	ListenAddr string       // of the raft port; ":0" takes a free one
	Listener   net.Listener // instead of ListenAddr
	// Advertise is where other members reach the raft port; "": where it listens.
	Advertise raft.ServerAddress

	// Servers are the first members; they are read when Dir is new. None means
	// this node alone, unless it has joined a cluster (WriteAdmission): then the
	// log that it will receive says who they are.
	Servers []raft.Server

	// Transport is used instead of a port, with ID as this node's name and Line
	// for calls. They are for clusters in one process.
	Transport Transport
	ID        raft.ServerID
	Line      Line

	// Answering says whether another member answers this one while it leads, and
	// whether that is known; nil: all do. A member is removed only if a majority of
	// those who stay answers.
	Answering func(raft.ServerID) (answers, known bool)

	// Now dates what other members propose to this one while it leads; nil:
	// time.Now. ClocksAgree says why that time is not to be trusted; nil: it is. A
	// Refusal with Unavailable says that it is not known yet.
	Now         func() time.Time
	ClocksAgree func() error

	// Dial opens connections to other members' ports; nil: TCP.
	Dial DialFunc

	// OpenStore opens the log in a directory; nil means OpenLog.
	OpenStore func(dir string) (Store, error)

	// SnapshotEntries is how many entries after a snapshot make the next one due,
	// and TrailingEntries how many of those before it stay; 0: 4096 and 1024.
	SnapshotEntries, TrailingEntries uint64
}

// Replica is an open member. It runs until Close.
type Replica struct {
	log       *slog.Logger
	dir       string
	me        identity
	admission Admission // zero if this node founded its cluster
	lock      *os.File
	stop      *failstop
	feed      *feed.Feed
	store     *checkedStore
	applier   *applier
	stream    *stream // nil with Options.Transport
	trans     Transport
	line      Line // nil: no other member can be called
	handlers  handlers
	answering func(raft.ServerID) (answers, known bool)

	now         func() time.Time
	clocksAgree func() error
	// dismissing is held by the one removal under way.
	dismissing chan struct{}

	whereabouts whereabouts
	raft        atomic.Pointer[raft.Raft] // nil while it is being started

	fresh     *freshness
	rounds    rounds
	ledTerm   atomic.Uint64 // the term in which this node began to lead last
	leading   *leadership
	notify    chan bool // raft's word on leadership
	proposals proposals

	snapshotEntries uint64      // how many make a snapshot due
	snapshot        atomic.Bool // one is being taken because the log is long

	closing   chan struct{} // closed when Close begins
	closeOnce sync.Once
	stopped   chan struct{} // closed when raft was told to stop
	stopOnce  sync.Once
	stopping  raft.Future
	work      sync.WaitGroup // what asks raft
	calls     sync.WaitGroup // what raft is called by: ends after it
}

// Open opens the replica in opts.Dir, or makes it. It returns before there is
// a leader; ctx is not looked at afterwards. It fails with ErrInUse if another
// process has the directory, with ErrCorrupt if something in it is not what
// was written, and with ErrNoKey if the node's key was lost.
func Open(ctx context.Context, opts Options) (*Replica, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if opts.Dir == "" || (opts.ListenAddr == "" && opts.Listener == nil && opts.Transport == nil) {
		return nil, errors.New("a replica needs a directory and an address for its raft port")
	}
	r := newReplica(opts)
	if err := r.open(opts); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	r.answerCalls()
	r.start()
	return r, nil
}

// newReplica makes the parts that need nothing of the disk. An empty state is
// published, so that whoever looks early sees nothing and not nil.
func newReplica(opts Options) *Replica {
	r := &Replica{
		log: opts.Log, dir: opts.Dir, snapshotEntries: cmp.Or(opts.SnapshotEntries, snapshotEntries),
		answering: opts.Answering, dismissing: make(chan struct{}, 1), rounds: rounds{turn: make(chan struct{}, 1)}, now: opts.Now, clocksAgree: opts.ClocksAgree,
		stop: newFailstop(), feed: feed.New(), leading: newLeadership(),
		notify:  make(chan bool, 16), // raft waits when it is full; leadership turns once an election
		closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	if r.log == nil {
		r.log = slog.Default()
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.clocksAgree == nil {
		r.clocksAgree = func() error { return nil }
	}
	trail := opts.Trail
	if trail == nil {
		trail = noTrail{}
	}
	r.applier = &applier{
		machine: state.NewMachine(), trail: trail, feed: r.feed, stop: r.stop,
		onMembers: r.retime,
	}
	r.feed.Publish(r.applier.machine.View(), state.Change{})
	r.fresh = &freshness{caughtUp: r.caughtUp}
	return r
}

// caughtUp reports whether the state has everything up to commit.
func (r *Replica) caughtUp(commit uint64) bool {
	through := r.applier.index.Load()
	if through >= commit {
		return true
	}
	next, err := r.store.nextChange(through)
	return err == nil && next > commit
}

// View returns the newest state that this node has applied. It is never nil,
// and empty until something was applied.
func (r *Replica) View() *state.View { return r.feed.Current() }

// Feed returns what wakes those who wait for a change.
func (r *Replica) Feed() *feed.Feed { return r.feed }

// WaitIndex returns when this node has applied log index, so that whoever
// wrote it reads it here. It fails with ctx's error.
func (r *Replica) WaitIndex(ctx context.Context, index uint64) error {
	_, err := r.feed.WaitIndex(ctx, index)
	return err
}

// Staleness returns how old this node's state may be: the monotonic time since
// it had everything that a leader with a quorum vouched for. With a leader it
// is about a second at most. heard is false as long as no leader was heard
// since this process started; such a node must issue nothing.
func (r *Replica) Staleness() (d time.Duration, heard bool) { return r.fresh.since(time.Now()) }

// Failed yields, once, the error for which the process has to end.
func (r *Replica) Failed() <-chan error { return r.stop.report }

// Stopped reports whether the replica has failed, or was told to stop.
func (r *Replica) Stopped() bool {
	select {
	case <-r.stop.tripped:
	case <-r.closing:
	default:
		return false
	}
	return true
}

// ID returns this node's name in the cluster.
func (r *Replica) ID() raft.ServerID { return r.me.id }

// Addr returns the address on which the raft port listens; nil if there is none.
func (r *Replica) Addr() net.Addr {
	if r.stream == nil {
		return nil
	}
	return r.stream.listener.Addr()
}

// Advertised is where other members reach this one.
func (r *Replica) Advertised() raft.ServerAddress { return r.trans.LocalAddr() }

// drainTime is how long Close waits for proposals that are under way.
const drainTime = time.Second

// Close stops the replica: no new proposals, those that are under way are
// waited for a second, then raft, the port and the disk. A second call does
// nothing.
func (r *Replica) Close() error {
	var err error
	r.closeOnce.Do(func() {
		close(r.closing)
		r.proposals.drain(drainTime)
		r.work.Wait() // raft still answers: what asks it is not left waiting
		err = r.shutdown()
		r.calls.Wait()
		r.feed.Close()
		err = errors.Join(err, r.release())
	})
	return err
}

// stopRaft tells raft to stop, once; the second of two calls of raft's own
// Shutdown would not wait. It returns nil if raft was never started.
func (r *Replica) stopRaft() raft.Future {
	r.stopOnce.Do(func() {
		if running := r.raft.Load(); running != nil {
			r.stopping = running.Shutdown()
		}
		close(r.stopped)
	})
	return r.stopping
}

// shutdown stops raft and its transport, as far as they were started, and
// waits for them.
func (r *Replica) shutdown() error {
	stopping := r.stopRaft()
	if r.stream != nil { // else raft would wait for members that do not answer
		if err := r.stream.Close(); err != nil {
			r.log.Warn("the raft port did not close cleanly", "error", err)
		}
	}
	if stopping != nil {
		return stopping.Error() // closes the transport too
	}
	if r.trans != nil {
		return r.trans.Close()
	}
	return nil
}

// release gives back what open took, as far as it came.
func (r *Replica) release() error {
	var errs []error
	if r.stream != nil {
		errs = append(errs, r.stream.Close())
	}
	if r.store != nil {
		if err := guarded(r.store.inner.Close); err != nil {
			errs = append(errs, fmt.Errorf("close the log: %w", err))
		}
	}
	if r.lock != nil {
		errs = append(errs, unlockDirectory(r.lock))
	}
	return errors.Join(errs...)
}
