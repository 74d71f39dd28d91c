package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that the demo started: a node or a workload.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // standard output, line by line; closed at its end
	ended chan struct{}

	mu       sync.Mutex
	expected bool // it may end: somebody asked for it
	logged   tail // standard error
	err      error
}

// start runs a program; a watched one that ends by itself fails the step.
func (s *stage) start(name string, watched bool, program string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(program, args...), lines: make(chan string, 4096), ended: make(chan struct{}), expected: !watched}
	p.cmd.Dir = s.dir
	p.cmd.Stderr = &p.logged
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s.mu.Lock()
	s.running = append(s.running, p)
	s.mu.Unlock()
	go p.follow(output, s.died)
	return p, nil
}

// follow reads the program's output until it ends, and says so if nobody asked
// for that. It drops what nobody reads rather than stop the program.
func (p *process) follow(output io.Reader, died chan<- error) {
	defer close(p.ended)
	defer close(p.lines)
	for scanner := bufio.NewScanner(output); scanner.Scan(); {
		select {
		case p.lines <- scanner.Text():
		default:
		}
	}
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	if !p.expected {
		if err == nil {
			err = errors.New("exit status 0")
		}
		select {
		case died <- fmt.Errorf("%s ended: %v", p.name, err):
		default:
		}
	}
}

// expectEnd says that p may end now.
func (p *process) expectEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = true
}

// kill is the machine's power cut: no signal that could be handled.
func (p *process) kill() error {
	p.expectEnd()
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.ended
	return nil
}

// stop asks p to end and waits; one that does not listen is killed, and the error
// says so.
func (p *process) stop() error {
	p.expectEnd()
	p.stdin.Close()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return nil
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not end within 10 s and was killed", p.name)
	}
}

// line waits for the next line that p prints.
func (p *process) line(ctx context.Context) (string, error) {
	select {
	case line, ok := <-p.lines:
		if !ok {
			return "", fmt.Errorf("%s ended without an answer: %s", p.name, p.logged.last(3))
		}
		return line, nil
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for %s: %w", p.name, context.Cause(ctx))
	}
}

// stopAll ends what runs, the newest first. Nothing is started meanwhile.
func (s *stage) stopAll() {
	for _, p := range slices.Backward(s.running) {
		if err := p.stop(); err != nil {
			fmt.Printf("%s: %v\n", s.story, err)
		}
	}
}

// showLogs prints the end of what each node logged, for whoever looks for the cause.
func (s *stage) showLogs() {
	for _, p := range s.running {
		if text := p.logged.last(12); text != "" && strings.HasPrefix(p.name, "the node") {
			fmt.Printf("\nlast lines of %s:\n%s\n", p.name, text)
		}
	}
}

// tail keeps the last lines written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) last(lines int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := strings.Split(strings.TrimRight(string(t.text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// copyFile makes another program of the same bytes: an agent tells workloads
// apart by their paths.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
