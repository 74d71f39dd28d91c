package replica

import (
	"fmt"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// What raft keeps beside its log.
var (
	keyTerm     = []byte("CurrentTerm")
	keyVoteTerm = []byte("LastVoteTerm")
	keyVote     = []byte("LastVoteCand")
)

// boot makes the membership if the directory is new, and starts raft on what
// is there if it can be believed.
func (r *Replica) boot(opts Options, snapshots *snapshotFiles) error {
	ballots := newBallots(r.trans, r.voter)
	conf := r.config(opts)
	if err := r.bootstrap(conf, opts.Servers, snapshots, ballots); err != nil {
		return err
	}
	if err := snapshots.begin(); err != nil {
		return err
	}
	if err := r.check(snapshots); err != nil {
		return err
	}
	cache, err := raft.NewLogCache(cachedEntries, r.store)
	if err != nil {
		return err
	}
	var running *raft.Raft
	if err := guarded(func() (err error) { // it panics when it cannot read its log
		running, err = raft.NewRaft(conf, r.applier, cache, r.store, snapshots, ballots)
		return err
	}); err != nil {
		return fmt.Errorf("start raft in %s: %w", r.dir, err)
	}
	r.raft.Store(running)
	r.calls.Go(func() { ballots.relay(r.stopped) })
	return r.checkMembership()
}

// bootstrap writes the first membership into a new directory. A crash may have
// come between raft's two writes of it: then the term is there and no entry.
func (r *Replica) bootstrap(conf *raft.Config, servers []raft.Server, snapshots *snapshotFiles, transport raft.Transport) error {
	begun, err := snapshots.begun()
	if err != nil {
		return fmt.Errorf("look for snapshots: %w", err)
	}
	last, err := r.store.LastIndex()
	if err != nil {
		return err
	}
	if begun || last > 0 || len(r.admission.Chain) > 0 {
		return nil // there is a membership, or the log of whoever admitted this node brings it
	}
	if err := r.store.SetUint64(keyTerm, 0); err != nil {
		return err
	}
	if len(servers) == 0 {
		servers = []raft.Server{{Suffrage: raft.Voter, ID: r.me.id, Address: transport.LocalAddr()}}
	}
	err = raft.BootstrapCluster(conf, r.store, r.store, raft.NewDiscardSnapshotStore(), transport, raft.Configuration{Servers: servers})
	if err != nil {
		return fmt.Errorf("write the first membership into %s: %w", r.dir, err)
	}
	return nil
}

// check refuses a log of which a part is missing.
func (r *Replica) check(snapshots *snapshotFiles) error {
	first, err := r.store.FirstIndex()
	if err != nil {
		return err
	}
	newest, err := snapshots.List()
	if err != nil {
		return err
	}
	covered := raft.SnapshotMeta{}
	if len(newest) > 0 {
		covered = *newest[0]
	}
	switch {
	case first == 0 && covered.Index == 0 && r.admission.awaitsLog():
		return nil
	case first == 0 && covered.Index == 0:
		return r.lost("there is a directory for snapshots, but neither a snapshot nor a log entry")
	case first > covered.Index+1:
		return r.lost("the log begins with entry %d, and the newest snapshot ends with entry %d", first, covered.Index)
	}
	return r.checkTerm(covered.Term)
}

// checkTerm reads what raft keeps beside the log, which alone at an election
// it would read, and compares it with the log.
func (r *Replica) checkTerm(atLeast uint64) error {
	last, err := r.store.LastIndex()
	if err != nil {
		return err
	}
	if last > 0 {
		var newest raft.Log
		if err := r.store.GetLog(last, &newest); err != nil {
			return err
		}
		atLeast = max(atLeast, newest.Term)
	}
	term, err := r.store.GetUint64(keyTerm)
	if err != nil || term < atLeast {
		return r.lost("the log is of term %d, and the term written beside it is %d", atLeast, term)
	}
	for _, key := range [][]byte{keyVoteTerm, keyVote} {
		_, _ = r.store.Get(key) // not there before the first election; if it is damaged, this does not return
	}
	return nil
}

func (r *Replica) lost(format string, args ...any) error {
	return fmt.Errorf("%w: a part of the log in %s is missing: %s; restore the directory from a backup", ErrCorrupt, r.dir, fmt.Sprintf(format, args...))
}

// checkMembership refuses a node that its own log does not know.
func (r *Replica) checkMembership() error {
	members := r.members()
	if len(members) == 0 && r.admission.awaitsLog() {
		return nil
	}
	for _, member := range members {
		if member.ID == r.me.id {
			return nil
		}
	}
	return fmt.Errorf("%w: this node's key is %s, which is none of the %d members that the log in %s knows; put its own key back as %s",
		ErrNoKey, r.me.id, len(members), r.dir, filepath.Join(r.dir, keyFile))
}
