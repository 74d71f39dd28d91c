package world

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/concord-id/concord/broker/node"
)

// built are the binaries of this test process, each built once.
var built struct {
	sync.Mutex
	dir   string
	paths map[string]string
}

// builtBefore names, to a test that is Apart, the directory with what was built
// before it.
const builtBefore = "CONCORD_TEST_BUILT"

// Binary returns the program of a package of this module, built as what ships
// is: "cmd/concord".
func Binary(t testing.TB, pkg string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if path := built.paths[pkg]; path != "" {
		return path
	}
	if path := filepath.Join(os.Getenv(builtBefore), filepath.Base(pkg)); filepath.IsAbs(path) {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "c")
		if err != nil {
			t.Fatal(err)
		}
		// Programs of any user may run it.
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		built.dir, built.paths = dir, map[string]string{}
	}
	path := filepath.Join(built.dir, filepath.Base(pkg))
	// GOFLAGS stays as it is: tests/planted changes what is built by it.
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/concord-id/concord/"+pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, output)
	}
	built.paths[pkg] = path
	return path
}

func builtDir() string {
	built.Lock()
	defer built.Unlock()
	return built.dir
}

func removeBuilt() {
	built.Lock()
	defer built.Unlock()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
}

// Process is a program that a test started. It is killed when the test ends.
type Process struct {
	Stdout, Stderr *Record

	t     testing.TB
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of Wait; after ended
}

// Spawn starts a program; change may alter how.
func Spawn(t testing.TB, change func(*exec.Cmd), program string, args ...string) *Process {
	t.Helper()
	p := &Process{Stdout: &Record{}, Stderr: &Record{}, t: t, cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.Stdout, p.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	if change != nil {
		change(p.cmd)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", filepath.Base(program), err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s %s wrote:\n%s\n%s", filepath.Base(program), strings.Join(args, " "), p.Stdout, tail(p.Stderr.String(), 4000))
		}
	})
	return p
}

// Signal sends a signal to a program that runs.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// Kill is a power cut: no signal that could be handled. It returns once the
// process is gone.
func (p *Process) Kill() {
	p.t.Helper()
	p.Signal(syscall.SIGKILL)
	<-p.ended
}

// Exit waits for the program's end and returns its exit code; -1 if a signal
// ended it.
func (p *Process) Exit() int {
	p.t.Helper()
	ctx := Soon(p.t)
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-ctx.Done():
		p.t.Fatalf("it never ended; it wrote:\n%s\n%s", p.Stdout, tail(p.Stderr.String(), 4000))
		return 0
	}
}

// Concord executes one command line of the binary and returns what it wrote
// and its exit code.
func Concord(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	p := Spawn(t, nil, Binary(t, "cmd/concord"), args...)
	code = p.Exit()
	return p.Stdout.String(), p.Stderr.String(), code
}

// Args are the command line that runs a node of the binary with the data
// directory dir, on free ports of loopback.
func Args(name, dir string, more ...string) []string {
	return append([]string{
		"node", "run", "--trust-domain", name, "--data-dir", dir, "--node-name", "n1",
		"--listen-api", "127.0.0.1:0", "--listen-bundle", "127.0.0.1:0",
		"--listen-raft", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0",
	}, more...)
}

// up is the line that the binary prints once it serves.
const up = " is up. "

// Up waits until a node of the binary serves; it fails the test if it ends before.
func (p *Process) Up() {
	p.t.Helper()
	if !p.Serves() {
		p.t.Fatalf("the node ended with exit code %d before it served:\n%s", p.Exit(), tail(p.Stderr.String(), 4000))
	}
}

// Serves waits until a node of the binary serves, or has ended, and reports which.
func (p *Process) Serves() bool {
	p.t.Helper()
	ctx := Soon(p.t)
	for {
		text, more := p.Stdout.now()
		if strings.Contains(text, up) {
			return true
		}
		select {
		case <-more:
		case <-p.ended:
			return strings.Contains(p.Stdout.String(), up)
		case <-ctx.Done():
			p.t.Fatal("the node neither served nor ended")
		}
	}
}

// AddressesIn are what the node with the data directory dir says that it
// listens on.
func AddressesIn(t testing.TB, dir string) node.Addresses {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	if err != nil {
		t.Fatal(err)
	}
	var a node.Addresses
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		t.Fatalf("addresses.json: %v", err)
	}
	return a
}
