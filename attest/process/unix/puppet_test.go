package unix_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	sys "golang.org/x/sys/unix"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/attest/process/unix"
)

// puppetEnv in the environment says that this binary is one, and which
// descriptor is its connection (-1: none yet).
const puppetEnv = "CONCORD_TEST_PUPPET"

// brisk keeps the race detector from making each process linger for a second at
// its end.
const brisk = "GORACE=atexit_sleep_ms=0"

// puppetEnvironment is all that a puppet gets, among it names that no selector
// may come from.
func puppetEnvironment(conn int) []string {
	return []string{fmt.Sprintf("%s=%d", puppetEnv, conn), brisk, "USER=mallory", "HOME=/home/mallory"}
}

// patience is how long a test waits for another process on a busy machine.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	if conn, ok := os.LookupEnv(puppetEnv); ok {
		fd, err := strconv.Atoi(conn)
		if err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
		puppet(fd)
		return
	}
	os.Exit(m.Run())
}

// puppet is another process: it does what its standard input says, a line at a
// time, answers each line with ok or an error, and ends with its input.
func puppet(conn int) {
	fmt.Println("ok")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		if err := obey(&conn, verb, rest); err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", "; "))
			continue
		}
		fmt.Println("ok")
	}
}

func obey(conn *int, verb, rest string) error {
	switch verb {
	case "connect":
		fd, err := sys.Socket(sys.AF_UNIX, sys.SOCK_STREAM, 0) // no CLOEXEC: inherited
		if err != nil {
			return err
		}
		*conn = fd
		return sys.Connect(fd, &sys.SockaddrUnix{Name: rest})
	case "say":
		_, err := sys.Write(*conn, []byte("."))
		return err
	case "exec": // becomes another program, and is the same process
		return syscall.Exec(rest, []string{rest}, puppetEnvironment(*conn))
	case "leave": // to a child, with the connection
		child := exec.Command(rest)
		child.Env = puppetEnvironment(3)
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		child.ExtraFiles = []*os.File{os.NewFile(uintptr(*conn), "connection")}
		if err := child.Start(); err != nil {
			return err
		}
		os.Exit(0)
	case "setuid":
		uid, err := strconv.Atoi(rest)
		return errors.Join(err, syscall.Setuid(uid))
	case "bind": // a file over another, in this mount namespace
		from, over, _ := strings.Cut(rest, " ")
		return errors.Join(
			sys.Mount("", "/", "", sys.MS_REC|sys.MS_PRIVATE, ""),
			sys.Mount(from, over, "", sys.MS_BIND, ""))
	case "attest":
		return attestFor(rest)
	case "crowd":
		socket, count, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(count)
		return errors.Join(err, crowd(socket, n))
	}
	return fmt.Errorf("a puppet cannot %s", verb)
}

// attestFor prints what this process can observe of another, which is given by
// its PID, user and group.
func attestFor(who string) error {
	p := attest.Process{Alive: alwaysAlive}
	if _, err := fmt.Sscan(who, &p.PID, &p.UID, &p.GID); err != nil {
		return err
	}
	found, err := unix.NewAttestor(unix.Options{}).Attest(context.Background(), p)
	if err != nil {
		return err
	}
	for _, s := range found {
		fmt.Print(s, " ")
	}
	return nil
}

func alwaysAlive() error { return nil }

// actor is the test's end of a puppet.
type actor struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start runs program, which is this test's binary or a copy of it, as a puppet.
func start(t *testing.T, program string, attributes *syscall.SysProcAttr) *actor {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = puppetEnvironment(-1)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirIn, theirOut, os.Stderr
	cmd.SysProcAttr = attributes
	err = cmd.Start()
	theirIn.Close()
	theirOut.Close()
	a := &actor{t: t, cmd: cmd, in: in, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		in.Close()
		if err == nil {
			a.end()
		}
		out.Close()
		cancel()
	})
	if err != nil {
		skipWithoutNamespace(t, attributes, err)
		t.Fatal(err)
	}
	a.expect("started")
	return a
}

func (a *actor) pid() int { return a.cmd.Process.Pid }

// do has the puppet obey a line, and returns what it prints before ok.
func (a *actor) do(format string, args ...any) string {
	a.t.Helper()
	line := fmt.Sprintf(format, args...)
	if _, err := fmt.Fprintln(a.in, line); err != nil {
		a.t.Fatal(err)
	}
	return a.expect(line)
}

func (a *actor) expect(what string) string {
	a.t.Helper()
	answer, err := a.out.ReadString('\n')
	said, ok := strings.CutSuffix(answer, "ok\n")
	if err != nil || !ok {
		a.t.Fatalf("puppet, %s: %q, %v", what, answer, err)
	}
	return said
}

// end kills the puppet, unless it has ended, and waits until its PID is free.
func (a *actor) end() {
	a.cmd.Process.Kill()
	a.cmd.Wait()
}

// listen makes a listener in a directory whose path is short.
func listen(t *testing.T) (*unix.Listener, string) {
	t.Helper()
	socket := filepath.Join(folder(t), "s")
	l, err := unix.Listen(socket, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, socket
}

// folder is a directory that other users may enter, with a short path.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// binary is a copy of this test's binary, as dir/name. No test here runs in
// parallel: a fork while the copy is open for writing would make it busy.
func binary(t *testing.T, dir, name string) string {
	t.Helper()
	image, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := errors.Join(os.WriteFile(path, image, 0o755), os.Chmod(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

// accept waits for the next connection.
func accept(t *testing.T, l *unix.Listener) *unix.Conn {
	t.Helper()
	if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*unix.Conn)
}

// refused fails the test unless err says that the process is not the caller.
func refused(t *testing.T, found []attest.Selector, err error) {
	t.Helper()
	if !errors.Is(err, attest.ErrProcessLost) || found != nil {
		t.Fatalf("attested as %v, %v; want a refusal", found, err)
	}
}
