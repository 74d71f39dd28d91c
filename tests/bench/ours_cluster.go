package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/node"
)

// clusterSize is how many nodes there are, each a process of bin/concord with its
// own data directory, as on three machines; here they share one.
const clusterSize = 3

// clusterPatience bounds what is waited for between measurements.
const clusterPatience = 60 * time.Second

// cluster is three nodes of one trust domain.
type cluster struct {
	dir     string
	members []*member
}

// member is a node of a cluster.
type member struct {
	name, dir string
	listen    []string // the same at every start
	api       *client.Client
	cmd       *exec.Cmd
	errors    *os.File
}

// startCluster founds a cluster and joins the other nodes to it.
func startCluster(ctx context.Context) (c *cluster, err error) {
	dir, err := os.MkdirTemp("", "b")
	if err != nil {
		return nil, err
	}
	c = &cluster{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	for i := range clusterSize {
		m, err := c.newMember(fmt.Sprint("n", i+1))
		if err != nil {
			return nil, err
		}
		args := []string{"run"}
		if i > 0 {
			var out client.Outcome[client.JoinToken]
			ask := client.NewJoinToken{Name: m.name, TTL: client.Duration(time.Hour)}
			if err := c.members[0].api.Do(ctx, http.MethodPost, client.Path("cluster", "tokens"), nil, ask, &out); err != nil {
				return nil, err
			}
			args = []string{"join", out.After.Token}
		}
		c.members = append(c.members, m)
		if err := errors.Join(m.start(args...), m.serves(ctx)); err != nil {
			return nil, err
		}
	}
	_, err = c.whole(ctx)
	return c, err
}

func (c *cluster) newMember(name string) (*member, error) {
	dir := filepath.Join(c.dir, name)
	m := &member{name: name, dir: dir, api: client.New(filepath.Join(dir, "admin.sock"), "bench")}
	for _, door := range []string{"api", "bundle", "raft", "ops"} {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		m.listen = append(m.listen, "--listen-"+door, address)
	}
	var err error
	m.errors, err = os.Create(filepath.Join(c.dir, name+".log"))
	return m, err
}

// freeAddress is one that nothing listens on. Its port is below those that the
// system gives to callers, so that it is still free when the node starts again.
func freeAddress() (string, error) {
	for range 100 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err == nil {
			return listener.Addr().String(), listener.Close()
		}
	}
	return "", errors.New("no free port was found between 20000 and 32000")
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

// whole waits until all members answer, vote and have what the furthest has, and
// returns who leads.
func (c *cluster) whole(ctx context.Context) (leader *member, err error) {
	for _, m := range c.members {
		err := m.eventually(ctx, func() (err error) {
			leader, err = c.asked(ctx, m)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return leader, nil
}

// asked is who leads a cluster that is whole, as one member sees it.
func (c *cluster) asked(ctx context.Context, m *member) (leader *member, err error) {
	var seen client.Cluster
	if err := m.api.Do(ctx, http.MethodGet, client.Path("cluster"), nil, nil, &seen); err != nil {
		return nil, err
	}
	var last uint64
	for _, other := range seen.Members {
		last = max(last, other.Applied)
	}
	voters := 0
	for _, other := range seen.Members {
		if other.Voter && other.Answers && other.Applied+clusterSize >= last {
			voters++
		}
		if other.Leading {
			leader = c.called(other.Name)
		}
	}
	if voters != clusterSize || leader == nil {
		return nil, fmt.Errorf("%d of %d members vote and are up to date", voters, clusterSize)
	}
	return leader, nil
}

func (c *cluster) called(name string) *member {
	if i := slices.IndexFunc(c.members, func(m *member) bool { return m.name == name }); i >= 0 {
		return c.members[i]
	}
	return nil
}

// but are the members without one.
func (c *cluster) but(without *member) []*member {
	return slices.DeleteFunc(slices.Clone(c.members), func(m *member) bool { return m == without })
}

// workload makes this process a workload of every node.
func (c *cluster) workload(ctx context.Context) error {
	entry := client.Entry{SPIFFEID: benchID.String(), Selectors: []string{fmt.Sprint("unix:uid:", os.Getuid())}}
	if err := c.members[0].api.Do(ctx, http.MethodPost, client.Path("entries"), nil, entry, nil); err != nil {
		return err
	}
	for _, m := range c.members {
		err := m.eventually(ctx, func() error {
			_, err := fetchOnce(ctx, m.socket())
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *member) socket() string { return filepath.Join(m.dir, "workload.sock") }

// stop ends the nodes and removes their data.
func (c *cluster) stop() error {
	var errs []error
	for _, m := range c.members {
		errs = append(errs, m.kill(), m.errors.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}
