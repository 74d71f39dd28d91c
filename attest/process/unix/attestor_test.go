package unix_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	sys "golang.org/x/sys/unix"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/attest/process/unix"
)

// digest is the sha256 selector of a file.
func digest(t *testing.T, path string) string {
	t.Helper()
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(image)
	return "unix:sha256:" + hex.EncodeToString(sum[:])
}

// words are selectors as text.
func words(selectors []attest.Selector) []string {
	var out []string
	for _, s := range selectors {
		out = append(out, s.String())
	}
	return out
}

// of returns the selectors whose kind is given, such as path.
func of(kind string, selectors []attest.Selector) []string {
	var out []string
	for _, s := range words(selectors) {
		if strings.HasPrefix(s, "unix:"+kind+":") {
			out = append(out, s)
		}
	}
	return out
}

// caller starts a puppet of program that connects to l, and returns both ends.
func caller(t *testing.T, program string, attributes *syscall.SysProcAttr) (*actor, *unix.Conn) {
	t.Helper()
	l, socket := listen(t)
	a := start(t, program, attributes)
	a.do("connect %s", socket)
	return a, accept(t, l)
}

// attestNow attests with a new Attestor.
func attestNow(t *testing.T, p attest.Process) ([]attest.Selector, error) {
	t.Helper()
	return unix.NewAttestor(unix.Options{}).Attest(t.Context(), p)
}

func mustAttest(t *testing.T, p attest.Process) []attest.Selector {
	t.Helper()
	found, err := attestNow(t, p)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// needRoot skips a test that starts processes of user 54321.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: it starts a process of another user")
	}
	numbers, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	var first, outside, count int
	if _, err := fmt.Sscan(string(numbers), &first, &outside, &count); err != nil || first+count <= 54321 {
		t.Skipf("this user namespace has no user 54321, only %q", numbers)
	}
}

func TestWE_10_SelectorsOfAnOrdinaryCaller(t *testing.T) {
	program := binary(t, folder(t), "workload")
	a, conn := caller(t, program, nil)
	p := conn.Process()
	if int(p.PID) != a.pid() || int(p.UID) != os.Geteuid() || int(p.GID) != os.Getegid() {
		t.Errorf("the peer is %d, user %d, group %d", p.PID, p.UID, p.GID)
	}
	want := []string{
		fmt.Sprintf("unix:uid:%d", os.Geteuid()), fmt.Sprintf("unix:gid:%d", os.Getegid()),
		"unix:path:" + program, digest(t, program),
	}
	if u, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil {
		want = append(want, "unix:user:"+u.Username)
	}
	if g, err := user.LookupGroupId(strconv.Itoa(os.Getegid())); err == nil {
		want = append(want, "unix:group:"+g.Name)
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range groups {
		want = append(want, fmt.Sprintf("unix:supplementary_gid:%d", id))
		if g, err := user.LookupGroupId(strconv.Itoa(id)); err == nil {
			want = append(want, "unix:supplementary_group:"+g.Name)
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	if found := mustAttest(t, p); !slices.Equal(words(found), want) {
		t.Errorf("found %v\nwant  %v", found, want)
	}
}

func TestNumbersWithoutNamesHaveNoNames(t *testing.T) {
	needRoot(t)
	program := binary(t, folder(t), "workload")
	_, conn := caller(t, program, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54322, Groups: []uint32{54323, 0}}})
	want := []string{
		"unix:gid:54322", "unix:path:" + program, digest(t, program), "unix:supplementary_gid:0", "unix:supplementary_gid:54323",
		"unix:supplementary_group:root", "unix:uid:54321",
	}
	slices.Sort(want)
	if found := mustAttest(t, conn.Process()); !slices.Equal(words(found), want) {
		t.Errorf("found %v\nwant  %v", found, want)
	}
}

func TestNamesNeverComeFromTheEnvironment(t *testing.T) {
	needRoot(t)
	program := binary(t, folder(t), "observer")
	observer := start(t, program, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}})
	found := observer.do("attest %d 54321 54321", observer.pid())
	if !strings.Contains(found, "unix:uid:54321 ") || strings.Contains(found, "unix:user:") {
		t.Errorf("a user without a name: %s", found)
	}
}

func TestAProcessThatMayNotBeLookedIntoHasNoProgram(t *testing.T) {
	needRoot(t)
	program := binary(t, folder(t), "observer")
	observer := start(t, program, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}})
	found := observer.do("attest %d 0 %d", os.Getpid(), os.Getegid())
	if !strings.Contains(found, "unix:uid:0 ") || strings.Contains(found, "unix:path:") || strings.Contains(found, "unix:sha256:") {
		t.Errorf("found %s", found)
	}
}

func TestCallerThatChangedItsUserIsRefused(t *testing.T) {
	needRoot(t)
	a, conn := caller(t, binary(t, folder(t), "workload"), nil)
	mustAttest(t, conn.Process())
	a.do("setuid 54321")
	found, err := attestNow(t, conn.Process())
	refused(t, found, err)
}

func TestCallerThatChangesItsUserDuringAttestationIsRefused(t *testing.T) {
	needRoot(t)
	a, conn := caller(t, binary(t, folder(t), "workload"), nil)
	p := conn.Process()
	alive, asked := p.Alive, 0
	p.Alive = func() error {
		if asked++; asked == 2 { // between the two looks
			a.do("setuid 54321")
		}
		return alive()
	}
	found, err := attestNow(t, p)
	refused(t, found, err)
}

func TestSetuidProgramDoesNotLendItsUser(t *testing.T) {
	needRoot(t)
	dir := folder(t)
	trusted := binary(t, dir, "trusted")
	if err := os.Chmod(trusted, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	a, conn := caller(t, binary(t, dir, "workload"), &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}})
	a.do("exec %s", trusted)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.pid()))
	if err != nil {
		t.Fatal(err)
	}
	if uid, _, _, err := unix.ParseStatus(status); uid != 0 {
		t.Skipf("the temporary directory is mounted nosuid (user %d, %v)", uid, err)
	}
	if err := conn.Process().Alive(); err != nil {
		t.Fatalf("it is still the same process: %v", err)
	}
	found, err := attestNow(t, conn.Process())
	refused(t, found, err)
}

func TestEndedCallerIsRefused(t *testing.T) {
	a, conn := caller(t, binary(t, folder(t), "workload"), nil)
	a.end()
	found, err := attestNow(t, conn.Process())
	refused(t, found, err)
}

func TestZombieIsRefused(t *testing.T) {
	program := binary(t, folder(t), "workload")
	a, conn := caller(t, program, nil)
	a.do("leave %s", program)
	// Wait for its end, and leave it a zombie.
	if err := sys.Waitid(sys.P_PID, a.pid(), nil, sys.WEXITED|sys.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	p := conn.Process()
	refused(t, nil, p.Alive())
	p.Alive = alwaysAlive
	found, err := attestNow(t, p)
	refused(t, found, err)
}

func TestClosedConnectionAnswersForNobody(t *testing.T) {
	_, conn := caller(t, binary(t, folder(t), "workload"), nil)
	conn.Close()
	if err := conn.Process().Alive(); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Alive after Close: %v", err)
	}
	if found, err := attestNow(t, conn.Process()); err == nil {
		t.Errorf("attested as %v", found)
	}
}

func TestAttestationEndsWithItsContext(t *testing.T) {
	_, conn := caller(t, binary(t, folder(t), "workload"), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	found, err := unix.NewAttestor(unix.Options{}).Attest(ctx, conn.Process())
	if !errors.Is(err, context.Canceled) || errors.Is(err, attest.ErrProcessLost) || found != nil {
		t.Errorf("%v, %v", found, err)
	}
}

func TestAttestorIsSafeForManyCallersAtOnce(t *testing.T) {
	_, conn := caller(t, binary(t, folder(t), "workload"), nil)
	attestor := unix.NewAttestor(unix.Options{})
	want := mustAttest(t, conn.Process())
	results := make(chan error)
	for range 32 {
		go func() {
			found, err := attestor.Attest(t.Context(), conn.Process())
			if err == nil && !slices.Equal(found, want) {
				err = fmt.Errorf("found %v", found)
			}
			results <- err
		}()
	}
	for range 32 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestAttestationLeavesNoDescriptors(t *testing.T) {
	a, conn := caller(t, binary(t, folder(t), "workload"), nil)
	attestor := unix.NewAttestor(unix.Options{})
	believed := conn.Process()
	believed.Alive = alwaysAlive
	flat := func(attested bool) {
		before := descriptors(t)
		for range 5 {
			if found, err := attestor.Attest(t.Context(), believed); (err == nil) != attested {
				t.Fatalf("attested as %v, %v", found, err)
			}
		}
		if after := descriptors(t); after != before {
			t.Errorf("attested %v: %d descriptors before, %d after", attested, before, after)
		}
	}
	flat(true)
	a.end()
	flat(false)
}

func TestUnknownProcessIsNotAttested(t *testing.T) {
	if found, err := attestNow(t, attest.Process{PID: 1 << 30, Alive: alwaysAlive}); err == nil {
		t.Errorf("attested as %v", found)
	}
}
