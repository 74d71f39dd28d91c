package unix_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	sys "golang.org/x/sys/unix"
)

// namespaceEnv in the environment says that a test runs as the first process of
// its own user, PID and mount namespace.
const namespaceEnv = "CONCORD_TEST_NAMESPACE"

// cannot is what a test prints inside when it cannot run there.
const cannot = "CANNOT RUN: "

// namespaced makes a process root of its own user namespace, and of those that
// flags name besides.
func namespaced(flags uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// skipWithoutNamespace skips the test if err is a host's refusal to make the
// namespaces that attributes ask for.
func skipWithoutNamespace(t *testing.T, attributes *syscall.SysProcAttr, err error) {
	t.Helper()
	if attributes == nil || attributes.Cloneflags == 0 {
		return
	}
	for _, refusal := range []error{sys.EPERM, sys.EACCES, sys.EINVAL, sys.ENOSPC, sys.EUSERS, sys.ENOSYS} {
		if errors.Is(err, refusal) {
			t.Skipf("this host makes no user namespaces: %v", err)
		}
	}
}

// inOwnNamespace runs story, a test's body, in a process of this binary that is
// the first one in its own user, PID and mount namespace, with its own /proc.
func inOwnNamespace(t *testing.T, story func(t *testing.T)) {
	t.Helper()
	if os.Getenv(namespaceEnv) != "" {
		errs := errors.Join(
			sys.Mount("", "/", "", sys.MS_REC|sys.MS_PRIVATE, ""),
			sys.Mount("proc", "/proc", "proc", sys.MS_NOSUID|sys.MS_NODEV|sys.MS_NOEXEC, ""))
		if errs != nil {
			t.Fatal(cannot+"a fresh /proc cannot be mounted:", errs)
		}
		story(t)
		return
	}
	inside := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout="+(2*patience).String())
	inside.Env = append(os.Environ(), namespaceEnv+"=1", brisk)
	inside.SysProcAttr = namespaced(syscall.CLONE_NEWPID | syscall.CLONE_NEWNS)
	inside.WaitDelay = time.Second // a puppet may hold its output
	out, err := inside.CombinedOutput()
	if inside.ProcessState == nil {
		skipWithoutNamespace(t, inside.SysProcAttr, err)
	}
	if _, reason, ok := strings.Cut(string(out), cannot); ok {
		reason, _, _ = strings.Cut(reason, "\n")
		t.Skip(reason)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in its own namespace: %v\n%s", err, out)
	}
}
