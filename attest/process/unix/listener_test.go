package unix_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sys "golang.org/x/sys/unix"

	"github.com/concord-id/concord/attest/process/unix"
)

func TestSocketHasExactlyItsModeWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		for _, mode := range []os.FileMode{0o600, 0o660, 0o666} {
			socket := filepath.Join(folder(t), "s")
			before := sys.Umask(umask)
			l, err := unix.Listen(socket, mode)
			sys.Umask(before)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(socket)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != mode|os.ModeSocket {
				t.Errorf("umask %o, asked for %v: socket has %v", umask, mode, info.Mode())
			}
			l.Close()
		}
	}
}

// stale leaves a socket behind as a killed process does.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestStaleSocketIsReplaced(t *testing.T) {
	socket := filepath.Join(folder(t), "s")
	stale(t, socket)
	l, err := unix.Listen(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestWhatIsNotAStaleSocketIsLeftAlone(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, path string)
		says    string
	}{
		"a socket on which another process answers": {func(t *testing.T, path string) {
			l, err := unix.Listen(path, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, "another process answers"},
		"a socket of another kind": {func(t *testing.T, path string) {
			c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
		}, "cannot tell"},
		"a file": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a socket"},
		"a directory": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a socket"},
		"a link to a stale socket": {func(t *testing.T, path string) {
			stale(t, path+"-real")
			if err := os.Symlink(path+"-real", path); err != nil {
				t.Fatal(err)
			}
		}, "not a socket"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(folder(t), "s")
			test.prepare(t, path)
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = unix.Listen(path, 0o600)
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v; want one that says %q and where", err, test.says)
			}
			after, err := os.Lstat(path)
			if err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() {
				t.Errorf("before %v, after %v, %v", before, after, err)
			}
		})
	}
}

func TestPathsThatCannotBeSocketsAreRefused(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ path, says string }{
		"empty":                  {"", "empty"},
		"abstract":               {"@concord", "give a path"},
		"abstract, spelt out":    {"\x00concord", "give a path"},
		"with a zero":            {dir + "/a\x00b", "give a path"},
		"too long":               {filepath.Join(dir, strings.Repeat("a", 107)), "at most 107"},
		"in a missing directory": {filepath.Join(dir, "none", "s"), "make its directory"},
		"in a file":              {filepath.Join(file, "s"), "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := unix.Listen(test.path, 0o600)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v; want one that says %q", err, test.says)
			}
		})
	}
}

func TestLongestPathWorks(t *testing.T) {
	dir := folder(t)
	socket := filepath.Join(dir, strings.Repeat("a", 107-len(dir)-1))
	l, err := unix.Listen(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("after Close: %v", err)
	}
}

func TestCloseLeavesASuccessorsSocket(t *testing.T) {
	socket := filepath.Join(folder(t), "s")
	first, err := unix.Listen(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	second, err := unix.Listen(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestAcceptEndsWithClose(t *testing.T) {
	l, _ := listen(t)
	ended := make(chan error, 1)
	go func() { _, err := l.Accept(); ended <- err }()
	l.Close()
	if err := <-ended; err == nil {
		t.Error("Accept returned a connection")
	}
}
