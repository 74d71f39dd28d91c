package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/audit"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

// restoring is where a restored node is put together: it is nobody's data yet.
func (d dataDir) restoring() string { return d.private() + ".restoring" }

// empty refuses a directory in which something is.
func (d dataDir) empty() error {
	names, err := os.ReadDir(string(d))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the data directory: %w", err)
	}
	for _, name := range names {
		if name.Name() != "lost+found" {
			return fmt.Errorf("the data directory %s is not empty, %s is in it: a backup is restored into an empty one; name another, or move what is there away", d, name.Name())
		}
	}
	return nil
}

// unrestored refuses a directory in which a restore was cut off: a node would
// take it for a new one, and found another domain.
func (d dataDir) unrestored() error {
	if _, err := os.Lstat(d.restoring()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("a restore into %s was cut off: remove %s, and restore the backup again", d, d.restoring())
}

// establish writes a restored node. The directory has its data when all of it is
// on disk, or not at all.
func (d dataDir) establish(view *state.View, before [32]byte, record state.AuditRecord, kek []byte) (id raft.ServerID, err error) {
	for _, dir := range []struct {
		path string
		mode os.FileMode
	}{{string(d), 0o711}, {d.restoring(), 0o700}} {
		if err := makeDirectory(dir.path, dir.mode); err != nil {
			return "", fmt.Errorf("make the data directory: %w", err)
		}
		if err := os.Chmod(dir.path, dir.mode); err != nil {
			return "", fmt.Errorf("data directory: %w", err)
		}
	}
	id, err = d.fill(view, before, record, kek)
	for _, step := range []func() error{
		func() error { return syncDirectory(d.restoring()) },
		func() error { return os.Rename(d.restoring(), d.private()) },
		func() error { return syncDirectory(string(d)) },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("write the restored node: %w", err), os.RemoveAll(d.restoring()))
	}
	return id, nil
}

func (d dataDir) fill(view *state.View, before [32]byte, record state.AuditRecord, kek []byte) (raft.ServerID, error) {
	if kek != nil {
		path := filepath.Join(d.restoring(), filepath.Base(d.kek()))
		if err := errors.Join(os.WriteFile(path, kek, 0o600), syncFile(path)); err != nil {
			return "", fmt.Errorf("keep the key-encryption key: %w", err)
		}
	}
	if err := audit.Begin(filepath.Join(d.restoring(), filepath.Base(d.audit())), before, record); err != nil {
		return "", err
	}
	return replica.Found(filepath.Join(d.restoring(), filepath.Base(d.raft())), view)
}
