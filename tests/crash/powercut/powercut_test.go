package powercut_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/concord-id/concord/tests/crash/powercut"
)

// bench is a mounted disk. Its files are used by bare system calls: through
// package os, the runtime would ask the disk that it serves itself.
type bench struct {
	*powercut.Disk
	t     *testing.T
	dir   string
	mount *powercut.Mount
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "c") // short: there are sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	b := &bench{Disk: powercut.NewDisk(), t: t, dir: dir}
	b.attach()
	t.Cleanup(b.detach)
	return b
}

func (b *bench) attach() {
	b.t.Helper()
	mount, err := b.Mount(b.dir)
	if errors.Is(err, powercut.ErrNoFUSE) {
		b.t.Skip(err)
	}
	b.try(err)
	b.mount = mount
}

func (b *bench) detach() {
	b.t.Helper()
	if b.mount != nil {
		b.try(b.mount.Unmount())
	}
	b.mount = nil
}

// cut lets the power go now and come back.
func (b *bench) cut(random *rand.Rand) {
	b.t.Helper()
	b.detach()
	b.Restore(random)
	b.attach()
}

func (b *bench) try(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// open opens a file until the test ends or the power goes.
func (b *bench) open(name string, flags int) int {
	b.t.Helper()
	fd, err := syscall.Open(b.path(name), flags|syscall.O_CLOEXEC, 0o600)
	b.try(err)
	return fd
}

// write writes at an offset of a file, and syncs it if it is told to.
func (b *bench) write(name, text string, at int64, sync bool) {
	b.t.Helper()
	fd := b.open(name, syscall.O_RDWR|syscall.O_CREAT)
	defer syscall.Close(fd)
	_, err := syscall.Pwrite(fd, []byte(text), at)
	b.try(err)
	if sync {
		b.try(syscall.Fdatasync(fd))
	}
}

func (b *bench) syncDir(name string) {
	b.t.Helper()
	fd := b.open(name, syscall.O_RDONLY|syscall.O_DIRECTORY)
	defer syscall.Close(fd)
	b.try(syscall.Fsync(fd))
}

// read reads a file whole; "-" stands for one that is not there.
func (b *bench) read(name string) string {
	b.t.Helper()
	fd, err := syscall.Open(b.path(name), syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	b.try(err)
	defer syscall.Close(fd)
	buffer := make([]byte, 1<<20)
	n, err := syscall.Read(fd, buffer)
	b.try(err)
	return string(buffer[:n])
}

func (b *bench) wants(name, want string) {
	b.t.Helper()
	if got := b.read(name); got != want {
		b.t.Errorf("%s holds %.60q, want %.60q", name, got, want)
	}
}

func TestWhatWasNotSyncedIsForgotten(t *testing.T) {
	b := newBench(t)
	b.write("log", "one", 0, true)
	b.syncDir(".")
	b.write("log", "two", 3, false)
	b.write("other", "new", 0, true)
	b.wants("log", "onetwo")
	b.cut(nil)
	b.wants("log", "one")
	b.wants("other", "-") // its bytes are on the disk, its name is not
	b.write("log", "two", 3, true)
	b.cut(nil)
	b.wants("log", "onetwo")
}

func TestANameIsThereWhenItsDirectoryWasSynced(t *testing.T) {
	b := newBench(t)
	b.try(syscall.Mkdir(b.path("d"), 0o700))
	b.syncDir(".")
	b.write("d/part", "whole", 0, true)
	b.try(syscall.Rename(b.path("d/part"), b.path("d/name")))
	b.wants("d/name", "whole")
	b.cut(nil)
	b.wants("d/name", "-")
	b.wants("d/part", "-")

	b.write("d/part", "whole", 0, true)
	b.try(syscall.Link(b.path("d/part"), b.path("d/name")))
	b.syncDir("d")
	b.try(syscall.Unlink(b.path("d/part")))
	b.cut(nil)
	b.wants("d/name", "whole")
	b.wants("d/part", "whole") // that it went was not synced
}

// A disk writes what it likes before the power goes, but nothing that nobody wrote.
func TestSomeOfWhatWasNotSyncedMayBeThere(t *testing.T) {
	b := newBench(t)
	const sectors = 64
	old, fresh := bytes.Repeat([]byte("o"), sectors*512), bytes.Repeat([]byte("n"), sectors*512)
	mixed := 0
	for seed := range uint64(8) {
		b.write("log", string(old), 0, true)
		b.syncDir(".")
		b.write("log", string(fresh), 0, false)
		b.cut(rand.New(rand.NewPCG(seed, 1)))
		got := []byte(b.read("log"))
		kept := 0
		for at := 0; at < len(got); at += 512 {
			switch sector := got[at : at+512]; {
			case bytes.Equal(sector, fresh[:512]):
				kept++
			case !bytes.Equal(sector, old[:512]):
				t.Fatalf("half a sector: %q", sector)
			}
		}
		if kept > 0 && kept < sectors {
			mixed++
		}
	}
	if mixed == 0 {
		t.Error("it was always all or nothing")
	}
}

func TestAFileThatWasCutOffDoesNotComeBack(t *testing.T) {
	b := newBench(t)
	b.write("log", "secret", 0, true)
	b.syncDir(".")
	fd := b.open("log", syscall.O_RDWR)
	b.try(syscall.Ftruncate(fd, 2))
	b.try(syscall.Ftruncate(fd, 6))
	b.try(syscall.Fsync(fd))
	b.try(syscall.Close(fd))
	b.wants("log", "se\x00\x00\x00\x00")
	b.cut(nil)
	b.wants("log", "se\x00\x00\x00\x00")
}

// mapped is set in a process that maps a file of a disk: a fault in the memory of
// the process that serves it could not be answered.
const mapped = "CONCORD_TEST_MAP"

func TestMain(m *testing.M) {
	path := os.Getenv(mapped)
	if path == "" {
		os.Exit(m.Run())
	}
	if err := show(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// show prints the first three bytes of a file as a map has them, now and after
// each line that it reads.
func show(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", memory[:3])
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Printf("%s\n", memory[:3])
	}
	return nil
}

func TestAMapSeesWhatIsWritten(t *testing.T) {
	b := newBench(t)
	b.write("log", "one", 0, false)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), mapped+"="+b.path("log"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	b.try(err)
	out, err := cmd.StdoutPipe()
	b.try(err)
	b.try(cmd.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "one" {
		t.Errorf("mapped %q", lines.Text())
	}
	b.write("log", "two", 0, false)
	fmt.Fprintln(in)
	if !lines.Scan() || lines.Text() != "two" {
		t.Errorf("mapped %q", lines.Text())
	}
	b.try(in.Close())
	b.try(cmd.Wait())
}

func TestASocketCanBeReached(t *testing.T) {
	b := newBench(t)
	listener, err := net.Listen("unix", b.path("s"))
	b.try(err)
	defer listener.Close()
	conn, err := net.Dial("unix", b.path("s"))
	b.try(err)
	b.try(conn.Close())
}

func TestAFullDiskTakesOnlyWhatHasItsSpace(t *testing.T) {
	b := newBench(t)
	b.write("log", "one", 0, true)
	b.Fill()
	b.write("log", "two", 0, true) // in a block that it has
	fd := b.open("log", syscall.O_RDWR)
	defer syscall.Close(fd)
	if _, err := syscall.Pwrite(fd, []byte("x"), 1<<20); err != syscall.ENOSPC {
		t.Errorf("a new block: %v", err)
	}
	if _, err := syscall.Open(b.path("new"), syscall.O_CREAT|syscall.O_RDWR, 0o600); err != syscall.ENOSPC {
		t.Errorf("a new file: %v", err)
	}
	b.Free()
	b.write("log", "x", 1<<10, true)
}

func TestTheNthSyncFails(t *testing.T) {
	for _, kept := range []bool{false, true} {
		b := newBench(t)
		b.write("log", "", 0, false)
		b.syncDir(".")
		b.Inject(powercut.Fault{Op: powercut.Sync, File: "log", Nth: 2, Err: syscall.EIO, Kept: kept})
		b.write("log", "one", 0, true)
		fd := b.open("log", syscall.O_RDWR)
		_, err := syscall.Pwrite(fd, []byte("two"), 3)
		b.try(err)
		if b.Met() {
			t.Error("the first sync met the fault")
		}
		if err := syscall.Fdatasync(fd); err != syscall.EIO || !b.Met() {
			t.Errorf("the second sync: %v", err)
		}
		b.Mend()
		b.try(syscall.Fdatasync(fd)) // the page cache believes that it is clean
		b.try(syscall.Close(fd))
		b.cut(nil)
		b.wants("log", map[bool]string{false: "one\x00\x00\x00", true: "onetwo"}[kept])
	}
}

func TestThePowerGoesAtAnOperation(t *testing.T) {
	b := newBench(t)
	b.write("log", "one", 0, true)
	b.syncDir(".")
	off := b.CutAfter(3)
	b.write("log", "two", 0, false)
	b.write("log", "three", 0, false)
	select {
	case <-off:
		t.Fatal("it went too early")
	default:
	}
	fd := b.open("log", syscall.O_RDWR)
	if err := syscall.Fdatasync(fd); err != syscall.EIO {
		t.Errorf("the third operation: %v", err)
	}
	<-off
	if _, err := syscall.Pwrite(fd, []byte("four"), 0); err != syscall.EIO {
		t.Errorf("an operation after it: %v", err)
	}
	b.try(syscall.Close(fd))
	b.cut(nil)
	b.wants("log", "one")
	b.write("log", "two", 0, true)
	if got, err := b.ReadFile("log"); err != nil || string(got) != "two" {
		t.Errorf("%q, %v", got, err)
	}
}
