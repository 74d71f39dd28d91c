package unix_test

import (
	"fmt"
	"os"
	"testing"

	sys "golang.org/x/sys/unix"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/attest/process/unix"
)

// recycle starts program until it has pid, which must be free. It returns nil
// if a thread of ours took that PID, which can happen at any time.
func recycle(t *testing.T, pid int, program string) *actor {
	t.Helper()
	for range 20 {
		err := os.WriteFile("/proc/sys/kernel/ns_last_pid", fmt.Append(nil, pid-1), 0)
		if err != nil {
			t.Fatal(cannot+"the kernel does not let a test choose a PID:", err)
		}
		impostor := start(t, program, nil)
		if impostor.pid() == pid {
			return impostor
		}
		impostor.end()
	}
	return nil
}

// untilRecycled repeats a story until it got the PID that it wanted.
func untilRecycled(t *testing.T, story func() (recycled bool)) {
	t.Helper()
	for range 20 {
		if story() {
			return
		}
	}
	t.Fatal("no PID could be had a second time")
}

func TestPIDReusedDuringAttestationIsRefused(t *testing.T) {
	inOwnNamespace(t, func(t *testing.T) {
		dir := folder(t)
		caller, impostor := binary(t, dir, "caller"), binary(t, dir, "impostor")
		l, socket := listen(t)
		// Attest asks Alive before its first look, between its two looks, and
		// after the last one.
		for step := 1; step <= 3; step++ {
			untilRecycled(t, func() bool {
				a := start(t, caller, nil)
				a.do("connect %s", socket)
				p := accept(t, l).Process()
				alive, asked, recycled := p.Alive, 0, false
				swap := func() {
					a.end()
					recycled = recycle(t, a.pid(), impostor) != nil
				}
				p.Alive = func() error {
					if asked++; asked == step {
						if err := alive(); err != nil {
							t.Errorf("before the swap: %v", err)
						}
						swap()
						if step < 3 { // the swap comes just after the answer
							return nil
						}
					}
					return alive()
				}
				found, err := unix.NewAttestor(unix.Options{}).Attest(t.Context(), p)
				refused(t, found, err)
				return recycled
			})
		}
	})
}

// Without the descriptor, the second look still tells two processes of one
// program apart, if they did not start in the same hundredth of a second.
func TestPIDReusedBetweenTheTwoLooksIsRefusedWithoutDescriptor(t *testing.T) {
	inOwnNamespace(t, func(t *testing.T) {
		program := binary(t, folder(t), "both")
		l, socket := listen(t)
		untilRecycled(t, func() bool {
			a := start(t, program, nil)
			born := startTime(t, a)
			for later := born; later == born; {
				scratch := start(t, program, nil)
				later = startTime(t, scratch)
				scratch.end()
			}
			a.do("connect %s", socket)
			p := accept(t, l).Process()
			asked, recycled := 0, false
			p.Alive = func() error {
				if asked++; asked == 2 {
					a.end()
					recycled = recycle(t, a.pid(), program) != nil
				}
				return nil
			}
			found, err := unix.NewAttestor(unix.Options{}).Attest(t.Context(), p)
			if recycled {
				refused(t, found, err)
			}
			return recycled
		})
	})
}

// startTime is when a puppet started, in clock ticks since boot.
func startTime(t *testing.T, a *actor) uint64 {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", a.pid()))
	if err != nil {
		t.Fatal(err)
	}
	started, err := unix.ParseStat(stat)
	if err != nil {
		t.Fatal(err)
	}
	return started
}

func TestPIDReusedOnAnAcceptedConnectionIsRefused(t *testing.T) {
	inOwnNamespace(t, func(t *testing.T) {
		for _, kernel := range []string{"this kernel", "a kernel before 6.5"} {
			dir := folder(t)
			caller, impostor := binary(t, dir, "caller"), binary(t, dir, "impostor")
			l, socket := listen(t)
			if kernel != "this kernel" {
				l.OpenByPID()
			}
			attestor := unix.NewAttestor(unix.Options{})
			untilRecycled(t, func() bool {
				a := start(t, caller, nil)
				a.do("connect %s", socket)
				conn := accept(t, l)
				if _, err := attestor.Attest(t.Context(), conn.Process()); err != nil {
					t.Fatalf("%s: the caller itself: %v", kernel, err)
				}
				a.do("leave %s", caller) // a child keeps the connection
				a.cmd.Wait()
				stranger := recycle(t, a.pid(), impostor)
				a.do("say")
				if _, err := conn.Read(make([]byte, 1)); err != nil {
					t.Fatalf("%s: the connection is still open: %v", kernel, err)
				}
				refused(t, nil, conn.Process().Alive())
				found, err := attestor.Attest(t.Context(), conn.Process())
				refused(t, found, err)
				if stranger == nil {
					return false
				}
				believed := conn.Process()
				believed.Alive = alwaysAlive
				if _, err := attestor.Attest(t.Context(), believed); err != nil {
					t.Fatalf("%s: nothing but the descriptor should tell the two apart: %v", kernel, err)
				}
				return true
			})
		}
	})
}

func TestPIDReusedBeforeAcceptIsRefused(t *testing.T) {
	if !kernelRemembersPeers(t) {
		t.Skip("this kernel has no SO_PEERPIDFD (Linux 6.5)")
	}
	inOwnNamespace(t, func(t *testing.T) {
		program := binary(t, folder(t), "both")
		l, socket := listen(t)
		untilRecycled(t, func() bool {
			a := start(t, program, nil)
			a.do("connect %s", socket)
			a.do("leave %s", program)
			a.cmd.Wait()
			stranger := recycle(t, a.pid(), program)
			p := accept(t, l).Process()
			found, err := unix.NewAttestor(unix.Options{}).Attest(t.Context(), p)
			refused(t, found, err)
			return stranger != nil
		})
	})
}

// kernelRemembersPeers reports whether the kernel hands out a descriptor of the
// process that called connect.
func kernelRemembersPeers(t *testing.T) bool {
	t.Helper()
	pair, err := sys.Socketpair(sys.AF_UNIX, sys.SOCK_STREAM|sys.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(pair[0])
	defer sys.Close(pair[1])
	fd, err := sys.GetsockoptInt(pair[0], sys.SOL_SOCKET, sys.SO_PEERPIDFD)
	if err == nil {
		sys.Close(fd)
	}
	return err == nil
}

var _ attest.ProcessAttestor = (*unix.Attestor)(nil)
