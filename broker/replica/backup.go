package replica

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/concord-id/concord/broker/state"
)

// A backup is a line that names the format, a line of JSON that says what is in
// it, the state as in a snapshot, and the SHA-256 of all before it. Every
// format, present and future, begins and ends so.
const (
	backupMagic  = "concord backup "
	backupFormat = backupMagic + "1\n"

	maxBackupHeaderBytes = 64 << 10
)

// ErrNoBackup means that something is not a backup of Concord.
var ErrNoBackup = errors.New("this is not a backup of Concord")

// Backup says what is in a backup. It holds no secret.
type Backup struct {
	ClusterID   string    `json:"cluster_id"`
	TrustDomain string    `json:"trust_domain"`
	Index       uint64    `json:"index"` // of the newest command in it
	Digest      string    `json:"digest"`
	At          time.Time `json:"at"`      // when it was made, by the clock of the node that made it
	Node        string    `json:"node"`    // that node's name
	Version     string    `json:"version"` // of Concord
	// KEKs name the key-encryption keys without which its authorities cannot be
	// opened; none if their keys are not sealed.
	KEKs          []string `json:"keks"`
	Sequence      uint64   `json:"sequence"` // of the domain's own bundle
	Members       int      `json:"members"`
	Entries       int      `json:"entries"`
	Agents        int      `json:"agents"`
	Relationships int      `json:"relationships"`
	Bundles       int      `json:"bundles"` // of other domains
}

// describe fills in what follows from the state.
func (b *Backup) describe(view *state.View) error {
	domain, known := view.Domain()
	if !known {
		return errors.New("there is no trust domain yet: nothing is to be backed up")
	}
	digest := view.Digest()
	b.ClusterID, b.TrustDomain, b.Index, b.Digest = domain.ClusterID, domain.TrustDomain.Name(), view.Index(), hex.EncodeToString(digest[:])
	b.Sequence = view.Own().Bundle.Sequence
	b.Members, b.Entries, b.Agents = view.MemberCount(), view.EntryCount(), view.AgentCount()
	b.Relationships, b.Bundles = view.RelationshipCount(), view.BundleCount()
	return nil
}

// WriteBackup writes a backup of view; about is what does not follow from it.
func WriteBackup(w io.Writer, view *state.View, about Backup) error {
	if err := about.describe(view); err != nil {
		return err
	}
	header, err := json.Marshal(about)
	if err != nil {
		return fmt.Errorf("describe the backup: %w", err)
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	_, err = out.Write(append(append([]byte(backupFormat), header...), '\n'))
	if err == nil {
		_, err = view.WriteTo(out)
	}
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		_, err = w.Write(sum.Sum(nil))
	}
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// BackupCheck checks a backup as it passes by, without keeping it: what is
// written to it is a backup from its first byte to its last.
type BackupCheck struct {
	begin []byte // up to the end of the header
	last  []byte // the newest bytes, which may be the sum
	sum   hash.Hash
	size  int64
}

// NewBackupCheck returns a check that has seen nothing.
func NewBackupCheck() *BackupCheck { return &BackupCheck{sum: sha256.New()} }

// Write takes the next bytes.
func (c *BackupCheck) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	if room := len(backupFormat) + maxBackupHeaderBytes - len(c.begin); room > 0 {
		c.begin = append(c.begin, p[:min(room, len(p))]...)
	}
	c.last = append(c.last, p...)
	if n := len(c.last) - sha256.Size; n > 0 {
		c.sum.Write(c.last[:n])
		c.last = append(c.last[:0], c.last[n:]...)
	}
	return len(p), nil
}

// End says what the backup is of, and how many bytes it has, if it is whole.
func (c *BackupCheck) End() (Backup, int64, error) {
	about, _, err := readBackupHeader(c.begin)
	if err == nil && !bytes.Equal(c.last, c.sum.Sum(nil)) {
		err = errTornBackup
	}
	return about, c.size, err
}

var errTornBackup = fmt.Errorf("%w: it does not match the checksum at its end: it was cut off, or changed; make another, or take an older one", ErrCorrupt)

// readBackupHeader reads the beginning of a backup; at is where the state is.
func readBackupHeader(begin []byte) (about Backup, at int, err error) {
	if !bytes.HasPrefix(begin, []byte(backupMagic)) {
		return about, 0, ErrNoBackup
	}
	format, rest, _ := bytes.Cut(begin, []byte("\n"))
	if string(format)+"\n" != backupFormat {
		return about, 0, fmt.Errorf("its format is %.40q, this version of Concord reads %q: restore it with the version that made it, or a newer one", format, backupFormat[:len(backupFormat)-1])
	}
	header, _, whole := bytes.Cut(rest, []byte("\n"))
	if !whole {
		return about, 0, errTornBackup
	}
	if err := json.Unmarshal(header, &about); err != nil {
		return about, 0, fmt.Errorf("%w: what it says of itself cannot be read: %w", ErrCorrupt, err)
	}
	return about, len(format) + 1 + len(header) + 1, nil
}

// ReadBackup reads a backup of size bytes. Nothing of it is believed before all
// of it was checked: ErrNoBackup if it is none, ErrCorrupt if it is not as it was
// written.
func ReadBackup(file io.ReaderAt, size int64) (Backup, *state.View, error) {
	check := NewBackupCheck()
	if _, err := io.Copy(check, io.NewSectionReader(file, 0, size)); err != nil {
		return Backup{}, nil, fmt.Errorf("read the backup: %w", err)
	}
	about, _, err := check.End()
	if err != nil {
		return about, nil, err
	}
	_, at, err := readBackupHeader(check.begin)
	if err != nil {
		return about, nil, err
	}
	machine := state.NewMachine()
	if err := machine.Restore(io.NewSectionReader(file, int64(at), size-int64(at)-sha256.Size)); err != nil {
		return about, nil, fmt.Errorf("the state in the backup: %w", err)
	}
	said := about
	if err := said.describe(machine.View()); err != nil {
		return about, nil, err
	}
	if said.Digest != about.Digest || said.ClusterID != about.ClusterID || said.TrustDomain != about.TrustDomain || said.Index != about.Index {
		return about, nil, fmt.Errorf("%w: what it says of itself is not what is in it", ErrCorrupt)
	}
	return about, machine.View(), nil
}
