package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// dataDir is where a node keeps what it must not lose. Others may pass through
// it to the sockets; private is for the node's user alone.
type dataDir string

func (d dataDir) private() string   { return filepath.Join(string(d), "private") }
func (d dataDir) raft() string      { return filepath.Join(d.private(), "raft") }
func (d dataDir) log() string       { return filepath.Join(d.raft(), "log.db") }
func (d dataDir) kek() string       { return filepath.Join(d.private(), "kek") }
func (d dataDir) removal() string   { return filepath.Join(d.private(), "removed") }
func (d dataDir) audit() string     { return filepath.Join(d.private(), "audit") }
func (d dataDir) admin() string     { return filepath.Join(string(d), "admin.sock") }
func (d dataDir) workload() string  { return filepath.Join(string(d), "workload.sock") }
func (d dataDir) addresses() string { return filepath.Join(string(d), "addresses.json") }

// lostKEK reports whether there is a log, which is made after the key-encryption
// key, and no such key.
func (d dataDir) lostKEK() bool {
	_, log := os.Stat(d.log())
	_, kek := os.Stat(d.kek())
	return log == nil && errors.Is(kek, fs.ErrNotExist)
}

// maxSocketPath is what the kernel takes (unix(7)): 108 bytes with the final zero.
const maxSocketPath = 107

// prepare makes the directories, with their modes whatever the umask is.
func (d dataDir) prepare() error {
	absolute, err := filepath.Abs(d.workload())
	if err != nil {
		return err
	}
	if len(absolute) > maxSocketPath && len(d.workload()) > maxSocketPath {
		return fmt.Errorf("the data directory's path is too long: %s has %d bytes, a socket's path may have %d; choose a shorter data-dir", d.workload(), len(d.workload()), maxSocketPath)
	}
	for _, dir := range []struct {
		path string
		mode os.FileMode
	}{{string(d), 0o711}, {d.private(), 0o700}} {
		if err := makeDirectory(dir.path, dir.mode); err != nil {
			return fmt.Errorf("make the data directory: %w", err)
		}
		if err := os.Chmod(dir.path, dir.mode); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
	}
	return nil
}

// makeDirectory makes a directory, and those above it that are missing, so that
// a power cut takes none of their names away. A directory above may be one that
// this user cannot read; then it was there before.
func makeDirectory(path string, mode os.FileMode) error {
	above := []string{filepath.Dir(path)}
	for {
		highest := above[len(above)-1]
		_, err := os.Stat(highest)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		above = append(above, filepath.Dir(highest))
	}
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	for _, dir := range above {
		if err := syncDirectory(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// syncDirectory brings the names in a directory to the disk.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lock refuses a second process on the same directory, before it touches
// anything there. The lock ends with the file that is returned, and with the
// process, however it ends.
func (d dataDir) lock() (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(d.private(), "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("another process is using the data directory %s: stop that node, or give this one its own --data-dir", d)
	} else {
		err = fmt.Errorf("lock the data directory %s: %w", d, err)
	}
	return nil, errors.Join(err, file.Close())
}

// unlock gives the directory back. The lock is taken off before the file is
// closed: a program that is being started just now has the file until it runs.
func unlock(lock *os.File) error {
	return errors.Join(syscall.Flock(int(lock.Fd()), syscall.LOCK_UN), lock.Close())
}

// Addresses are what a node really listens on; addresses.json holds them.
type Addresses struct {
	API    string `json:"api"`
	Raft   string `json:"raft"`
	Bundle string `json:"bundle"`
	Ops    string `json:"ops"`
}

// write replaces addresses.json in one step: a reader sees all of it or none.
func (d dataDir) write(a Addresses) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	fresh := d.addresses() + ".new"
	if err := os.WriteFile(fresh, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the addresses: %w", err)
	}
	if err := os.Chmod(fresh, 0o644); err != nil {
		return fmt.Errorf("write the addresses: %w", err)
	}
	return os.Rename(fresh, d.addresses())
}
