package keys

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// loadKEK reads the key-encryption key at path, and makes it if there is none.
func loadKEK(path string) (kek []byte, made bool, err error) {
	kek, err = readKEK(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return kek, false, err
	}
	if err := makeKEK(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, false, fmt.Errorf("make the key-encryption key %s: %w", path, err)
	} else if err == nil {
		made = true
	}
	kek, err = readKEK(path)
	return kek, made, err
}

// ReadKEK returns the key-encryption key in the file at path. It is for handing it
// to a new member over an authenticated connection: clear it afterwards.
func ReadKEK(path string) ([]byte, error) { return readKEK(path) }

// readKEK refuses a file that is too open, and one of the wrong length.
func readKEK(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the key-encryption key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the key-encryption key %s is not a file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("the key-encryption key %s has mode %04o and so can be read by others: run chmod 0600 on it, and make a new domain if somebody did", path, mode)
	}
	if info.Size() != KEKBytes {
		return nil, fmt.Errorf("the key-encryption key %s has %d bytes and must have %d: it is damaged. Restore it from where it was copied to; the domain's keys cannot be opened without it", path, info.Size(), KEKBytes)
	}
	kek, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key-encryption key: %w", err)
	}
	if len(kek) != KEKBytes {
		return nil, fmt.Errorf("the key-encryption key %s changed while it was read", path)
	}
	return kek, nil
}

// NewKEK makes a key-encryption key: clear it when it is where it belongs.
func NewKEK() ([]byte, error) {
	kek := make([]byte, KEKBytes)
	_, err := rand.Read(kek)
	return kek, err
}

// KEKID names a key-encryption key, as Sealed.ID does.
func KEKID(kek []byte) string {
	check := checkValue(kek)
	return hex.EncodeToString(check[:])
}

// makeKEK makes a new key in the file at path.
func makeKEK(path string) error {
	kek, err := NewKEK()
	if err != nil {
		return err
	}
	defer clear(kek)
	return WriteKEK(path, kek)
}

// UnnamedKEKs is the pattern of the names of files beside a key-encryption key's
// that WriteKEK was writing when a crash came.
const UnnamedKEKs = ".kek-*"

// WriteKEK writes a key beside path, brings it to the disk and gives it its
// name only then, so that a crash leaves all of it or nothing. It fails with
// fs.ErrExist if there is a file at path.
func WriteKEK(path string, kek []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, UnnamedKEKs) // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	if _, err := temp.Write(kek); err != nil {
		return err
	}
	if err := temp.Sync(); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

// syncDir brings the name of a new file to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
