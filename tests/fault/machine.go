package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/concord-id/concord/tests/crash/powercut"
	"github.com/concord-id/concord/tests/fault/history"
	"github.com/concord-id/concord/tests/fault/wire"
)

// domain is the trust domain of the cluster.
const domain = "acme.example"

// The settings of each node: short, so that what takes minutes in the world comes
// several times in a campaign.
const (
	refreshHint  = 3 * time.Second
	maxStaleness = 10 * time.Second
)

// machine is what one node runs on: a host on the wire, a disk, a clock.
type machine struct {
	name   string
	number byte // of its address
	host   *wire.Host
	clock  string // file
	log    *os.File
	rec    *recorder
	random *rand.Rand // what its disk had time for

	// mu orders those who start, stop and repair the machine.
	mu      sync.Mutex
	program string
	disk    *powercut.Disk
	at      string // where it is mounted
	mount   *powercut.Mount
	life    *life

	excused atomic.Int32 // > 0: its node may end by itself
	door    *door
}

// life is one process of a node.
type life struct {
	cmd   *exec.Cmd
	said  *transcript
	up    chan struct{} // closed when it serves
	ended chan struct{} // closed when it is gone
	told  atomic.Bool   // it was told to end
}

var upLine = regexp.MustCompile(`is up\. Bundle endpoint: `)

func newMachine(number byte, host *wire.Host, dir, logs, program string, rec *recorder, random *rand.Rand) (*machine, error) {
	name := fmt.Sprint("n", number)
	log, err := os.Create(filepath.Join(logs, name+".log"))
	if err != nil {
		return nil, err
	}
	m := &machine{
		name: name, number: number, host: host, clock: filepath.Join(dir, name+".clock"), log: log, rec: rec, random: random,
		program: program, disk: powercut.NewDisk(), at: filepath.Join(dir, name),
	}
	m.door = newDoor(m.path("admin.sock"))
	return m, errors.Join(m.setClock(0), os.Mkdir(m.at, 0o755), m.attach())
}

// path is a file of the node's data directory.
func (m *machine) path(name string) string { return filepath.Join(m.at, "d", name) }

func (m *machine) attach() (err error) {
	m.mount, err = m.disk.Mount(m.at)
	return err
}

func (m *machine) detach() error {
	if m.mount == nil {
		return nil
	}
	err := m.mount.Unmount()
	m.mount = nil
	return err
}

// run starts the node as it was left, and join one that joins with a token. They
// return once it serves.
func (m *machine) run(ctx context.Context) error { return m.start(ctx, "", "node", "run") }
func (m *machine) join(ctx context.Context, token string) error {
	return m.start(ctx, token, "node", "join", "-")
}

// upTime is how long a node may take until it serves.
const upTime = 60 * time.Second

func (m *machine) start(ctx context.Context, stdin string, verb ...string) error {
	l, err := m.begin(stdin, verb...)
	if err != nil {
		return err
	}
	select {
	case <-l.up:
		return nil
	case <-l.ended:
		return fmt.Errorf("%s ended with exit code %d before it served: %w", m.name, l.cmd.ProcessState.ExitCode(), errors.New(l.said.tail(6)))
	case <-time.After(upTime):
		return fmt.Errorf("%s does not serve %s after its start; it said\n%s", m.name, upTime, l.said.tail(20))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begin starts the node and waits for nothing.
func (m *machine) begin(stdin string, verb ...string) (*life, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ip := m.host.Addr
	args := append(verb,
		"--trust-domain", domain, "--node-name", m.name, "--data-dir", m.path(""),
		"--listen-api", fmt.Sprint(ip, ":8081"), "--listen-bundle", fmt.Sprint(ip, ":8443"), "--listen-raft", fmt.Sprint(ip, ":8300"), "--listen-ops", "127.0.0.1:8080",
		"--refresh-hint", refreshHint.String(), "--issuance.max-staleness", maxStaleness.String())
	l := &life{cmd: exec.Command(m.program, args...), up: make(chan struct{}), ended: make(chan struct{})}
	l.said = &transcript{out: m.log, mark: upLine, marked: l.up}
	l.cmd.Stdin, l.cmd.Stdout, l.cmd.Stderr = strings.NewReader(stdin), l.said, l.said
	l.cmd.Env = append(os.Environ(), clockFile+"="+m.clock)
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.rec.add(history.Event{Kind: history.Start, Node: m.name})
	if err := m.host.Start(l.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", m.name, err)
	}
	m.life = l
	go func() {
		_ = l.cmd.Wait() // how it ended is in ProcessState
		close(l.ended)
		if !l.told.Load() && m.excused.Load() == 0 {
			m.rec.wrong(survival, "%s ended by itself with exit code %d: %s", m.name, l.cmd.ProcessState.ExitCode(), l.said.tail(3))
		}
	}()
	return l, nil
}

// survival is the invariant that a node goes on.
const survival = "a node ends only when it is told to, or its disk lies or fails"

// current is the newest process.
func (m *machine) current() *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.life
}

// alive reports whether there is a process.
func (m *machine) alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.life != nil && !passed(m.life.ended)
}

// excuse lets the node end by itself until pardon is called.
func (m *machine) excuse() (pardon func()) {
	m.excused.Add(1)
	return func() { m.excused.Add(-1) }
}

// kill is the end that no program sees coming.
func (m *machine) kill() { m.end(syscall.SIGKILL) }

// stop asks the node to end, and waits.
func (m *machine) stop() error {
	code, ok := m.end(syscall.SIGTERM)
	if ok && code != 0 {
		return fmt.Errorf("%s was asked to end and ended with exit code %d", m.name, code)
	}
	return nil
}

// end ends the process and waits; it is not ok if there was none.
func (m *machine) end(signal syscall.Signal) (code int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life == nil || passed(m.life.ended) {
		return 0, false
	}
	m.life.told.Store(true)
	_ = m.life.cmd.Process.Signal(signal) // it may have ended this moment
	select {
	case <-m.life.ended:
	case <-time.After(upTime):
		m.rec.wrong(survival, "%s does not end %s after signal %s: %s", m.name, upTime, signal, m.life.said.tail(3))
		_ = m.life.cmd.Process.Kill()
		<-m.life.ended
	}
	m.door.close()
	return m.life.cmd.ProcessState.ExitCode(), true
}

// signal sends a signal to the process, if there is one.
func (m *machine) signal(s syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life != nil && !passed(m.life.ended) {
		_ = m.life.cmd.Process.Signal(s)
	}
}

// pid is the process's, 0 if there is none.
func (m *machine) pid() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life == nil || passed(m.life.ended) {
		return 0
	}
	return m.life.cmd.Process.Pid
}

// replug takes the disk out of a machine whose node has ended, lets do have it,
// and puts in what do returns.
func (m *machine) replug(do func(*powercut.Disk) *powercut.Disk) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.detach(); err != nil {
		return err
	}
	m.disk = do(m.disk)
	return m.attach()
}

// close ends everything of the machine.
func (m *machine) close() error {
	m.kill()
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.detach(), m.log.Close())
}

func passed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
