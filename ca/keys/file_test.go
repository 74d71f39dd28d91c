package keys_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/concord-id/concord/ca/keys"
)

// RELIABILITY §1 row 18. Not parallel: the umask is the process's.
func TestTheKEKIsItsOwnersAlone(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := kekPath(t)
	m := sealedManager(t, path)
	if !m.Made() || !strings.Contains(m.Source(), path) {
		t.Errorf("made %v, source %q", m.Made(), m.Source())
	}
	for name, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700 | fs.ModeDir} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %s, want %s", name, info.Mode(), want)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the key lie %v, %v", entries, err)
	}
	again := sealedManager(t, path)
	if again.Made() || again.ID() != m.ID() {
		t.Error("a second start has another key")
	}
}

func TestStartsAtOnceMakeOneKEK(t *testing.T) {
	path := kekPath(t)
	ids, made := make([]string, 16), make([]bool, 16)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			m, err := keys.NewSealed(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i], made[i] = m.ID(), m.Made()
		})
	}
	all.Wait()
	makers := 0
	for i := range ids {
		if ids[i] != ids[0] {
			t.Errorf("start %d has key %s, start 0 has %s", i, ids[i], ids[0])
		}
		if made[i] {
			makers++
		}
	}
	if makers != 1 {
		t.Errorf("%d starts made the key", makers)
	}
}

func TestKEKFilesThatAreRefused(t *testing.T) {
	write := func(mode fs.FileMode, size int) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		put  func(*testing.T, string)
		want string
	}{
		"empty":                 {write(0o600, 0), "damaged"},
		"cut short":             {write(0o600, 31), "31 bytes"},
		"too long":              {write(0o600, 33), "33 bytes"},
		"readable by the group": {write(0o640, 32), "chmod 0600"},
		"readable by everybody": {write(0o604, 32), "chmod 0600"},
		"writable by everybody": {write(0o602, 32), "chmod 0600"},
		"a directory": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a file"},
		"in a directory that is a file": {func(t *testing.T, path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Dir(path), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			path := kekPath(t)
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			test.put(t, path)
			_, err := keys.NewSealed(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want an error with %q and the path", err, test.want)
			}
		})
	}
}
