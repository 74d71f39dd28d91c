package unix_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/attest/process/unix"
)

func TestPathThatLeadsElsewhereIsNotTold(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, program string) error{
		"deleted": func(t *testing.T, program string) error { return os.Remove(program) },
		"replaced": func(t *testing.T, program string) error {
			return os.Rename(binary(t, filepath.Dir(program), "new"), program)
		},
		"deleted, and a file has the name that the kernel then shows": func(t *testing.T, program string) error {
			return errors.Join(os.Remove(program), os.WriteFile(program+" (deleted)", nil, 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			program := binary(t, folder(t), "workload")
			want := digest(t, program)
			_, conn := caller(t, program, nil)
			if err := change(t, program); err != nil {
				t.Fatal(err)
			}
			found := mustAttest(t, conn.Process())
			if got := of("path", found); got != nil {
				t.Errorf("path %v", got)
			}
			if got := of("sha256", found); !slices.Equal(got, []string{want}) {
				t.Errorf("%v, want the hash of what runs, %s", got, want)
			}
		})
	}
}

func TestOddPaths(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		told bool
	}{
		"a name that looks deleted": {"workload (deleted)", true},
		"colons and spaces":         {"a: b:c", true},
		"a line end":                {"a\nb", true},
		"not UTF-8":                 {"a\xffb", false},
	} {
		t.Run(name, func(t *testing.T) {
			program := binary(t, folder(t), test.file)
			_, conn := caller(t, program, nil)
			var want []string
			if test.told {
				want = []string{"unix:path:" + program}
			}
			if got := of("path", mustAttest(t, conn.Process())); !slices.Equal(got, want) {
				t.Errorf("path %q, want %q", got, want)
			}
		})
	}
}

func TestPathInAnotherMountNamespaceIsNotTold(t *testing.T) {
	dir := folder(t)
	trusted, hostile := binary(t, dir, "trusted"), filepath.Join(dir, "hostile")
	image, err := os.ReadFile(trusted)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hostile, append(image, "with something else in it"...), 0o755); err != nil {
		t.Fatal(err)
	}
	a, conn := caller(t, trusted, namespaced(syscall.CLONE_NEWNS))
	found := mustAttest(t, conn.Process())
	if got := of("path", found); !slices.Equal(got, []string{"unix:path:" + trusted}) {
		t.Errorf("before, when the path leads to the same file here: %v", got)
	}
	a.do("bind %s %s", hostile, trusted)
	a.do("exec %s", trusted)
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", a.pid()))
	if err != nil || link != trusted {
		t.Fatalf("the kernel shows %q, %v; want the trusted path", link, err)
	}
	found = mustAttest(t, conn.Process())
	if got := of("path", found); got != nil {
		t.Errorf("path %v", got)
	}
	if got := of("sha256", found); !slices.Equal(got, []string{digest(t, hostile)}) {
		t.Errorf("sha256 %v, want that of what runs", got)
	}
}

func TestLargeProgramsAreNotHashed(t *testing.T) {
	program := binary(t, folder(t), "workload")
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	_, conn := caller(t, program, nil)
	for name, test := range map[string]struct {
		limit  int64
		hashed bool
	}{
		"default":       {0, true},
		"as large":      {info.Size(), true},
		"one byte over": {info.Size() - 1, false},
		"never":         {-1, false},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := unix.NewAttestor(unix.Options{MaxHashBytes: test.limit}).Attest(t.Context(), conn.Process())
			if err != nil {
				t.Fatal(err)
			}
			if got := of("sha256", found); (got != nil) != test.hashed {
				t.Errorf("sha256 %v", got)
			}
			if got := of("path", found); got == nil {
				t.Error("the path is missing")
			}
		})
	}
}

func TestDefaultLimitIs64MiB(t *testing.T) {
	program := binary(t, folder(t), "workload")
	if err := os.Truncate(program, 64<<20+1); err != nil { // with a hole
		t.Fatal(err)
	}
	_, conn := caller(t, program, nil)
	if got := of("sha256", mustAttest(t, conn.Process())); got != nil {
		t.Errorf("sha256 %v", got)
	}
}

func TestDigestIsRememberedOnceTheFileHasSettled(t *testing.T) {
	attestor := unix.NewAttestor(unix.Options{})
	program := binary(t, folder(t), "workload")
	_, conn := caller(t, program, nil)
	written := time.Now()
	if err := os.Chmod(program, 0o711); err != nil {
		t.Fatal(err)
	}
	if _, err := attestor.Attest(t.Context(), conn.Process()); err != nil {
		t.Fatal(err)
	}
	if n := attestor.Remembered(); n != 0 && time.Since(written) < 2*time.Second {
		t.Errorf("%d digests remembered of a file that was written just now: its next state may have the same times", n)
	}
	old := exec.Command("cat") // a program that nobody has written just now
	in, err := old.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); old.Wait() }()
	p := attest.Process{PID: int32(old.Process.Pid), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Alive: alwaysAlive}
	first, err := attestor.Attest(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	second, err := attestor.Attest(t.Context(), p)
	if err != nil || !slices.Equal(first, second) {
		t.Errorf("first %v, then %v, %v", first, second, err)
	}
	if n := attestor.Remembered(); n == 0 {
		t.Error("nothing is remembered")
	}
}

func TestRememberedDigestsAreBounded(t *testing.T) {
	attestor := unix.NewAttestor(unix.Options{})
	attestor.RememberMany(10_000)
	if n := attestor.Remembered(); n > 1024 {
		t.Errorf("%d digests remembered", n)
	}
}

func TestAfterExecTheProgramIsTheNewOne(t *testing.T) {
	dir := folder(t)
	second := binary(t, dir, "second")
	a, conn := caller(t, binary(t, dir, "first"), nil)
	a.do("exec %s", second)
	found := mustAttest(t, conn.Process())
	if got := of("path", found); !slices.Equal(got, []string{"unix:path:" + second}) {
		t.Errorf("path %v", got)
	}
}

func TestExecDuringAttestationIsRefused(t *testing.T) {
	dir := folder(t)
	second := binary(t, dir, "second")
	a, conn := caller(t, binary(t, dir, "first"), nil)
	p := conn.Process()
	alive, asked := p.Alive, 0
	p.Alive = func() error {
		if asked++; asked == 2 { // between the two looks
			a.do("exec %s", second)
		}
		return alive()
	}
	found, err := attestNow(t, p)
	refused(t, found, err)
}

func TestProgramTouchedDuringAttestationIsRefused(t *testing.T) {
	program := binary(t, folder(t), "workload")
	_, conn := caller(t, program, nil)
	p := conn.Process()
	asked := 0
	p.Alive = func() error {
		if asked++; asked == 2 { // between the two looks
			return os.Chmod(program, 0o711)
		}
		return nil
	}
	found, err := attestNow(t, p)
	refused(t, found, err)
}
