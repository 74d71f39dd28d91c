package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one life of a node.
type process struct {
	dir      string
	begun    time.Time
	cmd      *exec.Cmd
	out, log *transcript
	ended    chan struct{} // closed when it is gone
	up       chan struct{} // closed when it serves
}

// upLine is what a node prints once it serves.
var upLine = regexp.MustCompile(`is up\. Bundle endpoint: (https://\S+)`)

// start runs the node program, which may be several words, on a data directory;
// files are open in it from descriptor 3 on.
func start(program []string, dir string, files ...*os.File) (*process, error) {
	args := append(program[1:len(program):len(program)],
		"node", "run", "--trust-domain", domain, "--node-name", "n1", "--data-dir", dir,
		"--listen-api", "127.0.0.1:0", "--listen-bundle", "127.0.0.1:0", "--listen-raft", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0",
		"--publication-window", "0s")
	p := &process{dir: dir, begun: time.Now(), cmd: exec.Command(program[0], args...), log: &transcript{}, ended: make(chan struct{}), up: make(chan struct{})}
	p.out = &transcript{mark: upLine, marked: p.up}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = p.out, p.log, files
	// It must not outlive us, whatever ends us.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	return p, nil
}

// kill is the end that no program sees coming. It returns once nothing is left
// of the process.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
}

// stop asks the node to end and returns its exit code; -1 if a signal ended it.
func (p *process) stop() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.code()
}

// code waits for the node's end and returns its exit code.
func (p *process) code() int {
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

// door returns how to speak to a node that serves.
func (p *process) door() (*door, error) {
	return openDoor(p.dir, upLine.FindStringSubmatch(p.out.String())[1])
}

// alarms are the lines of the log that no crash excuses.
func (p *process) alarms() (lines []string) {
	for line := range strings.Lines(p.log.String()) {
		if alarming.MatchString(line) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

var alarming = regexp.MustCompile(`level=ERROR|^panic|^fatal error|damaged|corrupt|data race`)

// transcript keeps what a process writes.
type transcript struct {
	mark   *regexp.Regexp
	marked chan struct{} // closed once mark was written

	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.text.Write(p)
	if t.mark != nil && t.mark.Match(t.text.Bytes()) {
		t.mark = nil
		close(t.marked)
	}
	return n, err
}

// String returns everything written so far.
func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
