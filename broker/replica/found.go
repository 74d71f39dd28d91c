package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/state"
)

// foundTerm is the term of a cluster that begins with a state; the first
// election is for the next one.
const foundTerm = 1

// foundAddress stands in the first membership until the node has started and
// says where it is reached: it is alone until then.
const foundAddress = "localhost:1"

// Found makes in dir, which holds no replica, that of a node which is the only
// member of its cluster and begins with view. The node has a new key; its ID is
// returned. After an error dir is of no use.
func Found(dir string, view *state.View) (raft.ServerID, error) {
	if err := makePrivate(dir); err != nil {
		return "", err
	}
	if _, err := os.Lstat(filepath.Join(dir, logFile)); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s has a log: a node is founded in a directory that has none", dir)
	}
	me, err := loadIdentity(dir)
	if err != nil {
		return "", err
	}
	if err := foundStore(dir); err != nil {
		return "", err
	}
	files := &snapshotFiles{dir: filepath.Join(dir, snapshotsDir), stop: newFailstop()}
	if err := files.begin(); err != nil {
		return "", err
	}
	alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: me.id, Address: foundAddress}}}
	sink, err := files.Create(raft.SnapshotVersionMax, view.Index(), foundTerm, alone, view.Index(), nil)
	if err != nil {
		return "", err
	}
	if _, err := view.WriteTo(sink); err != nil {
		return "", errors.Join(err, sink.Cancel())
	}
	return me.id, sink.Close()
}

// foundStore makes an empty log, and says beside it of which term it is.
func foundStore(dir string) (err error) {
	store, err := OpenLog(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.Set(keyTerm, sealValue(keyTerm, encodeUint64(foundTerm))); err != nil {
		return fmt.Errorf("%w: write %s in %s: %w", ErrStore, keyTerm, dir, err)
	}
	return nil
}
