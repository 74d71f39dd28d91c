package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrInUse means that another process has the directory open.
var ErrInUse = errors.New("another process is using this directory")

// Names inside the replica's directory.
const (
	lockFile     = "lock"
	keyFile      = "node.key"
	logFile      = "log.db"
	snapshotsDir = "snapshots"

	admissionFile   = "admission.json"
	incarnationFile = "incarnation"
)

// makePrivate makes dir and gives it to its owner alone, whatever the umask is
// and whatever was there before. A power cut does not take its name away.
func makePrivate(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = syncDirectory(filepath.Dir(dir))
	}
	if err != nil {
		return fmt.Errorf("make the directory %s: %w", dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the directory %s: %w", dir, err)
	}
	if info.Mode().Perm() == 0o700 {
		return nil
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close the directory %s to others: %w", dir, err)
	}
	return nil
}

// lockDirectory refuses at once if another process has dir. The lock ends with
// the file that is returned, and with the process, however it ends.
func lockDirectory(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of %s: %w", dir, err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		return file, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = fmt.Errorf("%w: %s; stop that node, or give this one its own --data-dir", ErrInUse, dir)
	default:
		err = fmt.Errorf("lock %s: %w", dir, err)
	}
	return nil, errors.Join(err, file.Close())
}

// unlockDirectory gives a directory back. The lock is taken off before the file
// is closed: a program that this process is just starting has the file too.
func unlockDirectory(lock *os.File) error {
	return errors.Join(syscall.Flock(int(lock.Fd()), syscall.LOCK_UN), lock.Close())
}

// writeWhole makes the file path with content and mode 0600, so that after a
// crash it is there whole or not at all.
func writeWhole(path string, content []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err == nil {
		err = syncDirectory(dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), removeIfThere(tmp.Name()))
	}
	return nil
}

// syncDirectory makes the names in dir survive a power cut.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
