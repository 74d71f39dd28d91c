package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
)

// program is this program as a process of its own.
type program struct {
	cmd      *exec.Cmd
	out, err *bufio.Scanner
}

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), runAsProgram+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errOut, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // the test has looked at how it ended, or has failed
	})
	return &program{cmd: cmd, out: bufio.NewScanner(out), err: bufio.NewScanner(errOut)}
}

// await reads lines until one says want.
func await(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	var seen []string
	for lines.Scan() {
		seen = append(seen, lines.Text())
		if strings.Contains(lines.Text(), want) {
			return
		}
	}
	t.Fatalf("it never said %q, but:\n%s", want, strings.Join(seen, "\n"))
}

func (p *program) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// end reads the rest and returns how the process ended.
func (p *program) end(t *testing.T) syscall.WaitStatus {
	t.Helper()
	var rest sync.WaitGroup
	for _, lines := range []*bufio.Scanner{p.out, p.err} {
		rest.Go(func() {
			for lines.Scan() {
			}
		})
	}
	rest.Wait()
	if err := p.cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

const quietNode = "listen-api: 127.0.0.1:0\nlisten-bundle: 127.0.0.1:0\nlisten-raft: 127.0.0.1:0\nlisten-ops: 127.0.0.1:0\n"

func writeConfig(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(quietNode+text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNodeRunObeysFlagsFilesAndSignals(t *testing.T) {
	dir := shortDir(t)
	file, data := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "d")
	writeConfig(t, file, "trust-domain: acme.example\nnode-name: from-file\n")
	p := startProgram(t, "node", "run", "--config", file, "--data-dir", data, "--node-name", "from-flag")
	await(t, p.out, "svid fetch")
	t.Setenv(adminSocketVariable, filepath.Join(data, "admin.sock"))
	if s := must[client.Status](t, "status"); s.Node != "from-flag" || s.TrustDomain != "acme.example" {
		t.Errorf("it runs as %s of %s", s.Node, s.TrustDomain)
	}

	other := concord(t.Context(), "", "node", "run", "--config", file, "--data-dir", data)
	if other.code != exitFailed || !strings.Contains(other.err, data) {
		t.Errorf("a second one on the same data: exit %d: %s", other.code, other.err)
	}

	writeConfig(t, file, "trust-domain: acme.example\nlog-level: debug\n")
	p.signal(t, syscall.SIGHUP)
	await(t, p.err, "the configuration was read again")
	writeConfig(t, file, "log-level: loud\n")
	p.signal(t, syscall.SIGHUP)
	await(t, p.err, "the configuration was not taken")
	if l := must[client.LogLevel](t, "log-level", "show"); l.Level != "debug" || l.Launch != "info" {
		t.Errorf("the log level is %+v", l)
	}

	p.signal(t, syscall.SIGTERM)
	if status := p.end(t); !status.Exited() || status.ExitStatus() != exitDone {
		t.Errorf("after SIGTERM it ended with %v", status)
	}
}

func TestASecondSignalEndsANodeAtOnce(t *testing.T) {
	dir := shortDir(t)
	file, data := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "d")
	writeConfig(t, file, "")
	p := startProgram(t, "node", "run", "--config", file, "--data-dir", data)
	await(t, p.out, "svid fetch")
	t.Setenv(adminSocketVariable, filepath.Join(data, "admin.sock"))
	held := start(t, "audit", "follow", "--after", "1", "-o", "json") // a graceful end waits for it
	nextLine[client.AuditRecord](t, held)
	p.signal(t, os.Interrupt)
	await(t, p.err, "stopping")
	p.signal(t, syscall.SIGTERM)
	if status := p.end(t); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("after a second signal it ended with %v", status)
	}
	held.interrupt()
	for held.lines.Scan() {
	}
	<-held.ended
}

func TestANodeThatCannotRunFails(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "c.yaml")
	writeConfig(t, file, "data-dir: "+filepath.Join(dir, "d")+"\n")
	got := concord(t.Context(), "", "node", "run", "--config", file, "--listen-ops", "192.0.2.1:8080")
	if got.code != exitFailed || !strings.Contains(got.err, "listen-ops") {
		t.Errorf("an address of nobody here: exit %d: %s", got.code, got.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(ctx, []string{"node", "run", "--config", file}, streams{strings.NewReader(""), io.Discard, io.Discard}); code != exitDone {
		t.Errorf("told to stop before it served: exit %d", code)
	}
}
