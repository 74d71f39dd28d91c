package world

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/node"
)

// Node is a node in this process, with its own data directory. It stops when
// the test ends.
type Node struct {
	TrustDomain spiffeid.TrustDomain
	Config      node.Config
	Log, Out    *Record // of all its starts

	t       testing.TB
	token   string // with which it joins
	running *node.Node
	web     *Web // who vouches for its endpoint, with https_web
}

// Config returns the configuration of a node of the trust domain called name:
// the defaults on free ports of loopback, in a new directory.
func Config(t testing.TB, name string) node.Config {
	t.Helper()
	c := node.Defaults()
	c.TrustDomain, c.NodeName, c.DataDir = name, "n1", filepath.Join(Dir(t), "d")
	c.ListenAPI, c.ListenBundle, c.ListenRaft, c.ListenOps = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.LogLevel = "debug"
	return c
}

// Start starts a node of the trust domain called name, with changes to its
// configuration.
func Start(t testing.TB, name string, change ...func(*node.Config)) *Node {
	t.Helper()
	n := newNode(t, name, change...)
	n.Start()
	return n
}

// newNode is a node that was not started yet.
func newNode(t testing.TB, name string, change ...func(*node.Config)) *Node {
	t.Helper()
	n := &Node{TrustDomain: spiffeid.RequireTrustDomainFromString(name), Config: Config(t, name), Log: &Record{}, Out: &Record{}, t: t}
	for _, c := range change {
		c(&n.Config)
	}
	t.Cleanup(func() {
		n.Stop()
		if t.Failed() {
			t.Logf("the log of %s of %s:\n%s", n.Config.NodeName, name, tail(n.Log.String(), 4000))
		}
	})
	return n
}

// Start starts a stopped node again, on the same data.
func (n *Node) Start() {
	n.t.Helper()
	if err := n.TryStart(); err != nil {
		n.t.Fatalf("start %s: %v\n%s", n.TrustDomain.Name(), err, tail(n.Log.String(), 4000))
	}
}

// TryStart is Start for a node that may refuse to.
func (n *Node) TryStart() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.t.Context()), Patience)
	defer cancel()
	var err error
	n.running, err = node.Start(ctx, node.Options{Config: n.Config, Version: "test", Join: n.token, Out: n.Out, Log: n.Log})
	if err == nil {
		n.Config.ListenRaft = n.Addresses().Raft // a member comes back where it was
	}
	return err
}

// Stop stops the node as SIGTERM would; one that is stopped stays so.
func (n *Node) Stop() {
	n.t.Helper()
	if n.running == nil {
		return
	}
	if err := n.running.Stop(); err != nil {
		n.t.Errorf("stop %s: %v", n.TrustDomain.Name(), err)
	}
	n.running = nil
}

// Reload gives the running node a configuration that was read again.
func (n *Node) Reload(c node.Config, err error) { n.running.Reload(c, err) }

// Addresses are what the node listens on.
func (n *Node) Addresses() node.Addresses { return n.running.Addresses() }

// Path returns a path inside of the data directory.
func (n *Node) Path(names ...string) string {
	return filepath.Join(append([]string{n.Config.DataDir}, names...)...)
}

// ID returns the SPIFFE ID with a path in the node's trust domain.
func (n *Node) ID(path string) spiffeid.ID { return spiffeid.RequireFromPath(n.TrustDomain, path) }

// tail returns the end of text.
func tail(text string, most int) string {
	if over := len(text) - most; over > 0 {
		return "…" + text[over:]
	}
	return text
}
