package world

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// apart is set in a process that runs one test in namespaces of its own.
const apart = "CONCORD_TEST_APART"

// Apart runs the calling test once more, in a process that has namespaces of
// its own (syscall.CLONE_NEW…; a user namespace is always one of them, in which
// the process is root and may mount), and reports whether this is that process. Where it
// is not, the test has passed or failed as it did there.
//
//	if !world.Apart(t, syscall.CLONE_NEWNS) {
//		return
//	}
func Apart(t *testing.T, namespaces uintptr) bool {
	t.Helper()
	if os.Getenv(apart) == t.Name() {
		return true
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := Spawn(t, func(cmd *exec.Cmd) {
		cmd.Env = append(os.Environ(), apart+"="+t.Name(), builtBefore+"="+builtDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER | namespaces,
			// Root there, whoever it is here: only root keeps the right to mount
			// when it executes a program.
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
			Pdeathsig:   syscall.SIGKILL,
		}
	}, program, "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.count=1", "-test.timeout=5m")
	if code := p.Exit(); code != 0 {
		t.Errorf("in its own namespaces it failed (%d):\n%s%s", code, p.Stdout, p.Stderr)
	}
	return false
}

// Fill writes a file into dir until its disk has no more than so many bytes
// left, and returns what removes it.
func Fill(t testing.TB, dir string, left int64) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for {
		var disk syscall.Statfs_t
		if err := syscall.Statfs(dir, &disk); err != nil {
			t.Fatal(err)
		}
		over := int64(disk.Bavail)*disk.Bsize - left
		if over <= 0 {
			break
		}
		if _, err := file.Write(make([]byte, min(over, 1<<20))); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// SmallDisk mounts a new file system with so many bytes on a new directory,
// and returns that. It is for tests that are Apart with syscall.CLONE_NEWNS.
func SmallDisk(t testing.TB, bytes string) string {
	t.Helper()
	dir := Dir(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size="+bytes); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return dir
}
