package replica

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/feed"
	"github.com/concord-id/concord/broker/state"
)

// Trail is told of every command, in the order of the log, by one goroutine. An
// error of it ends the process, as an error of the log does.
type Trail interface {
	// Append keeps a record. After a restart the newest part of the log is
	// applied again, so a record may come that is kept already.
	Append(record state.AuditRecord) error
	// Restored says that the state now is what it was after log index, where the
	// chain's head was head: records up to there come no more.
	Restored(index uint64, head [32]byte) error
	// Sync returns when all records so far are on disk. The log that they could
	// be made from again is shortened after it.
	Sync() error
}

// noTrail keeps nothing.
type noTrail struct{}

func (noTrail) Append(state.AuditRecord) error  { return nil }
func (noTrail) Restored(uint64, [32]byte) error { return nil }
func (noTrail) Sync() error                     { return nil }

// applier gives what raft has committed to the state, the trail and the feed.
// Its methods are called by raft, one at a time.
type applier struct {
	machine *state.Machine
	trail   Trail
	feed    *feed.Feed
	stop    *failstop

	// index is the newest entry that changed the state or the membership.
	index   atomic.Uint64
	digests digests
	// covered is what the newest snapshot covers, or the one that is being taken,
	// and bytes how many there are in the commands since.
	covered, bytes atomic.Uint64
	// onMembers is called with each committed membership.
	onMembers func(raft.Configuration)
}

// Apply implements raft.FSM. The proposer on this node is given a state.Applied.
func (a *applier) Apply(entry *raft.Log) any {
	if err := a.stop.cause(); err != nil {
		a.stop.end(err)
	}
	applied, err := a.machine.Apply(entry.Index, entry.Data)
	if err != nil {
		a.stop.end(fmt.Errorf("log entry %d cannot be applied: %w", entry.Index, err))
	}
	if !applied.Repeated {
		if err := a.trail.Append(applied.Record); err != nil {
			a.stop.end(fmt.Errorf("log entry %d cannot be put into the audit trail: %w", entry.Index, err))
		}
	}
	a.index.Store(entry.Index)
	a.bytes.Add(uint64(len(entry.Data)))
	view := a.machine.View()
	a.digests.note(view.Index(), view.Digest())
	a.feed.Publish(view, applied.Change)
	return applied
}

// StoreConfiguration implements raft.ConfigurationStore.
func (a *applier) StoreConfiguration(index uint64, members raft.Configuration) {
	a.index.Store(index)
	a.onMembers(members)
}

// Snapshot implements raft.FSM. Whoever asked for it waits for an answer, also
// after an error that ends the process.
func (a *applier) Snapshot() (raft.FSMSnapshot, error) {
	if err := a.trail.Sync(); err != nil {
		err = fmt.Errorf("the audit trail cannot be synced: %w; nothing that was acknowledged is lost; see to the disk, then start the node again", err)
		a.stop.trip(err)
		return nil, err
	}
	a.covers(a.index.Load())
	return frozen{a.machine.View()}, nil
}

// Restore implements raft.FSM.
func (a *applier) Restore(snapshot io.ReadCloser) error {
	if err := a.machine.Restore(snapshot); err != nil {
		a.stop.end(fmt.Errorf("%w: read the state in it: %w", ErrSnapshot, err))
	}
	view := a.machine.View()
	if err := a.trail.Restored(view.Index(), view.AuditHead()); err != nil {
		a.stop.end(fmt.Errorf("the audit trail cannot follow a snapshot: %w", err))
	}
	a.index.Store(view.Index())
	a.covers(view.Index())
	a.digests.note(view.Index(), view.Digest())
	a.feed.Publish(view, state.Change{Index: view.Index(), Everything: true})
	return nil
}

// covers notes that there is a snapshot of everything up to index.
func (a *applier) covers(index uint64) {
	a.covered.Store(index)
	a.bytes.Store(0)
}

// frozen is a view on its way to a snapshot; commands go on being applied
// while it is written.
type frozen struct{ view *state.View }

// Persist implements raft.FSMSnapshot.
func (f frozen) Persist(sink raft.SnapshotSink) error {
	_, err := f.view.WriteTo(sink)
	return err // raft cancels the sink, and closes it otherwise
}

// Release implements raft.FSMSnapshot.
func (f frozen) Release() {}
