package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/node"
)

// member is a node of a cluster.
type member struct {
	name, dir string
	listen    []string // the same at every start
	api       *client.Client
	cmd       *exec.Cmd
	errors    *os.File
}

// start starts the node's process.
func (m *member) start(verb ...string) error {
	binary, err := filepath.Abs("bin/concord")
	if err != nil {
		return err
	}
	os.Remove(filepath.Join(m.dir, "addresses.json")) // an earlier start's
	args := append([]string{"node"}, verb...)
	args = append(args, "--trust-domain", benchDomain.Name(), "--data-dir", m.dir, "--node-name", m.name, "--log-level", "warn")
	m.cmd = exec.Command(binary, append(args, m.listen...)...)
	m.cmd.Stderr = m.errors
	return m.cmd.Start()
}

// kill ends the node as a power cut would. It fails if the node had ended by itself.
func (m *member) kill() error {
	if m.cmd == nil {
		return nil
	}
	err := m.cmd.Process.Kill()
	m.cmd.Wait() // says that it was killed
	if code := m.cmd.ProcessState.ExitCode(); code >= 0 {
		text, unread := os.ReadFile(m.errors.Name())
		err = errors.Join(fmt.Errorf("%s had ended by itself with exit code %d: %s", m.name, code, text), unread)
	}
	m.cmd = nil
	return err
}

// serves waits until the node answers its operator.
func (m *member) serves(ctx context.Context) error {
	return m.eventually(ctx, func() error {
		var out client.Status
		return m.api.Do(ctx, http.MethodGet, client.Path("status"), nil, nil, &out)
	})
}

// ready reports whether /ready answers 200.
func (m *member) ready(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(m.dir, "addresses.json"))
	if err != nil {
		return err
	}
	var at node.Addresses
	if err := json.Unmarshal(text, &at); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at.Ops+"/ready", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready: %s", m.name, answer.Status)
	}
	return nil
}

// eventually repeats try every few milliseconds until it succeeds.
func (m *member) eventually(ctx context.Context, try func() error) error {
	end := time.Now().Add(clusterPatience)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(m.errors.Name()) // only to say more
			return fmt.Errorf("%s, after %s: %w\n%s", m.name, clusterPatience, err, strings.TrimSpace(string(text)))
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *member) socket() string { return filepath.Join(m.dir, "workload.sock") }

// clockTicks a second are what Linux counts in, everywhere.
const clockTicks = 100

// processorTime is how long the node has kept a core busy (proc_pid_stat(5)).
func (m *member) processorTime() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ") // what is before may hold spaces
	fields := strings.Fields(after)
	var user, system int64
	if len(fields) > 12 {
		_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	}
	return time.Duration(user+system) * (time.Second / clockTicks), err
}
