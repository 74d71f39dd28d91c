package replica

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
)

// ErrSnapshot means that a snapshot could not be written or read back.
var ErrSnapshot = errors.New("the replica's snapshot failed")

const (
	snapshotFormat = "concord snapshot 1"
	snapshotSuffix = ".snapshot"
	partialSuffix  = ".partial"

	// snapshotsKept is the newest, which alone is read, and the one before it,
	// for a person who has to rescue something.
	snapshotsKept = 2

	maxHeaderBytes = 1 << 20
)

// snapshotFiles keeps snapshots in a directory, one file each: a line of JSON,
// the state's own bytes, and the SHA-256 of all before it. raft's own file
// store makes directories that everybody may enter, and where the newest
// snapshot is damaged falls back to an older one without a word.
type snapshotFiles struct {
	dir  string
	stop *failstop
}

// snapshotHeader is the first line of a snapshot.
type snapshotHeader struct {
	Format             string
	Index, Term        uint64
	Configuration      raft.Configuration
	ConfigurationIndex uint64
}

// begun reports whether the directory is there. It is made when the first
// membership is in the log, and so tells a log that is new from one that was lost.
func (s *snapshotFiles) begun() (bool, error) {
	_, err := os.Stat(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// begin makes the directory and clears away what a crash left half written.
func (s *snapshotFiles) begin() error {
	if err := makePrivate(s.dir); err != nil {
		return err
	}
	if err := syncDirectory(filepath.Dir(s.dir)); err != nil {
		return fmt.Errorf("make the directory %s: %w", s.dir, err)
	}
	partial, err := filepath.Glob(filepath.Join(s.dir, "*"+partialSuffix))
	if err != nil {
		return fmt.Errorf("list %s: %w", s.dir, err)
	}
	for _, path := range partial {
		if err := removeIfThere(path); err != nil {
			return fmt.Errorf("clear a half written snapshot away: %w", err)
		}
	}
	return nil
}

// failed ends the process: a node that cannot write a snapshot keeps a log
// that grows without end, one that cannot read it has no state.
func (s *snapshotFiles) failed(what, id string, err error) error {
	err = fmt.Errorf("%w: %s %s: %w; see to the disk, then start the node again", ErrSnapshot, what, filepath.Join(s.dir, id), err)
	s.stop.trip(err)
	return err
}

// ids returns the snapshots that are there, the newest first. Their names sort by index, then term.
func (s *snapshotFiles) ids() ([]string, error) {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, name := range names {
		if id, ok := strings.CutSuffix(name.Name(), snapshotSuffix); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids, nil
}

func (s *snapshotFiles) path(id string) string { return filepath.Join(s.dir, id+snapshotSuffix) }

// List implements raft.SnapshotStore. It returns the newest alone, so that a
// damaged one is never passed over.
func (s *snapshotFiles) List() ([]*raft.SnapshotMeta, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, s.failed("list", "", err)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	file, err := os.Open(s.path(ids[0]))
	if err != nil {
		return nil, s.failed("open", ids[0], err)
	}
	meta, _, err := readHeader(ids[0], file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, s.failed("read", ids[0], err)
	}
	return []*raft.SnapshotMeta{meta}, nil
}

// Open implements raft.SnapshotStore. Not a byte is given out before all of
// them were checked.
func (s *snapshotFiles) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	file, err := os.Open(s.path(id))
	if err != nil {
		return nil, nil, s.failed("open", id, err)
	}
	meta, start, err := readHeader(id, file)
	if err == nil {
		err = verifySum(file)
	}
	if err == nil {
		_, err = file.Seek(start, io.SeekStart)
	}
	if err != nil {
		return nil, nil, errors.Join(s.failed("read", id, err), file.Close())
	}
	body := bufio.NewReaderSize(io.LimitReader(file, meta.Size), 64<<10)
	return meta, struct {
		io.Reader
		io.Closer
	}{body, file}, nil
}

// readHeader reads the first line; start is where the state's bytes begin.
func readHeader(id string, file *os.File) (meta *raft.SnapshotMeta, start int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	line, err := bufio.NewReader(io.LimitReader(file, maxHeaderBytes)).ReadBytes('\n')
	if err != nil {
		return nil, 0, fmt.Errorf("%w: its first line has no end", ErrCorrupt)
	}
	var header snapshotHeader
	if err := json.Unmarshal(line, &header); err != nil {
		return nil, 0, fmt.Errorf("%w: its first line is not what was written: %w", ErrCorrupt, err)
	}
	if header.Format != snapshotFormat {
		return nil, 0, fmt.Errorf("its format is %.40q, this version of Concord reads %q", header.Format, snapshotFormat)
	}
	size := info.Size() - int64(len(line)) - sha256.Size
	if size < 0 {
		return nil, 0, fmt.Errorf("%w: it is cut off", ErrCorrupt)
	}
	return &raft.SnapshotMeta{
		Version: 1, ID: id, Index: header.Index, Term: header.Term, Size: size,
		Configuration: header.Configuration, ConfigurationIndex: header.ConfigurationIndex,
	}, int64(len(line)), nil
}

// verifySum checks the whole file against the sum at its end.
func verifySum(file *os.File) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, file, info.Size()-sha256.Size); err != nil {
		return err
	}
	stored := make([]byte, sha256.Size)
	if _, err := io.ReadFull(file, stored); err != nil {
		return err
	}
	if !slices.Equal(stored, sum.Sum(nil)) {
		return fmt.Errorf("%w: it does not match the checksum at its end", ErrCorrupt)
	}
	return nil
}

// Create implements raft.SnapshotStore.
func (s *snapshotFiles) Create(_ raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	id := fmt.Sprintf("%020d-%020d", index, term)
	header, err := json.Marshal(snapshotHeader{snapshotFormat, index, term, configuration, configurationIndex})
	if err != nil {
		return nil, s.failed("describe", id, err)
	}
	file, err := os.CreateTemp(s.dir, id+"-*"+partialSuffix)
	if err != nil {
		return nil, s.failed("write", id, err)
	}
	sink := &snapshotSink{files: s, id: id, file: file, sum: sha256.New()}
	sink.out = bufio.NewWriterSize(io.MultiWriter(file, sink.sum), 64<<10)
	if _, err := sink.Write(append(header, '\n')); err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return sink, nil
}

// removeOld removes all but the newest snapshots.
func (s *snapshotFiles) removeOld() error {
	ids, err := s.ids()
	if err != nil {
		return err
	}
	for _, id := range ids[min(len(ids), snapshotsKept):] {
		if err := removeIfThere(s.path(id)); err != nil {
			return err
		}
	}
	return nil
}
