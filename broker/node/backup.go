package node

import (
	"io"
	"slices"
	"time"

	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/keys"
)

// Backup says what is in a backup.
type Backup = replica.Backup

// BackupCheck checks a backup while it is copied.
type BackupCheck = replica.BackupCheck

// NewBackupCheck returns a check that has seen nothing.
func NewBackupCheck() *BackupCheck { return replica.NewBackupCheck() }

// ReadBackup reads all of a backup of size bytes and says what is in it, if it
// is as it was written.
func ReadBackup(file io.ReaderAt, size int64) (Backup, error) {
	about, _, err := replica.ReadBackup(file, size)
	return about, err
}

// Backup implements registrar.Cluster.
func (m membership) Backup(view *state.View, w io.Writer) error {
	return replica.WriteBackup(w, view, Backup{
		At: time.Now().UTC().Truncate(time.Second), Node: m.n.config.NodeName, Version: m.n.version, KEKs: neededKEKs(view),
	})
}

// neededKEKs are the key-encryption keys by which the authorities that sign, or
// will, are sealed.
func neededKEKs(view *state.View) []string {
	needed := []string{}
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		for _, a := range view.Authorities(use) {
			if kek := keys.KEKOf(a.Sealed); a.Status != ca.Old && kek != "" && !slices.Contains(needed, kek) {
				needed = append(needed, kek)
			}
		}
	}
	slices.Sort(needed)
	return needed
}
