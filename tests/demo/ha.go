package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/admin/client"
)

// everyStepHA is the story of a cluster that nobody notices failing.
var everyStepHA = []step[*ha]{
	{"acme.example is founded by one node, and two join it", foundCluster},
	{"acme.example and bank.example follow each other's bundle", federateCluster},
	{"Their workloads call each other, all the time", beginTraffic},
	{"The leader is killed (SIGKILL), and comes back", killLeader},
	{"All three are restarted (SIGTERM), one after another", restartAll},
	{"A node is lost for good, and another takes its place", replaceNode},
	{"Sums", sumUp},
}

// ha is acme.example as a cluster, and bank.example beside it.
type ha struct {
	*stage
	bank    *domain
	members []*member // without those that are lost for good
	front   *front    // of acme's bundle endpoints
	trust   *spiffebundle.Bundle

	web, api, teller string // programs
	ledger           *workload
	callers          []*caller
	phases           []*phase
	between          phase // calls that were made in no phase

	writes writes
}

// member is a node of acme.
type member struct {
	*domain
	admin  *client.Client
	bound  addresses
	probes *probes // nil while the node is down
}

func newHA(s *stage) *ha { return &ha{stage: s, bank: s.domain("bank.example", "bank")} }

// close ends what runs in this process.
func (h *ha) close() {
	for _, m := range h.members {
		m.unwatch()
	}
	if h.front != nil {
		h.front.close()
	}
}

// newMember is a node of acme that is not started yet.
func (h *ha) newMember(name string) *member {
	d := h.domain("acme.example", "acme-"+name)
	d.as = name
	return &member{domain: d, admin: client.New(filepath.Join(d.dir, "admin.sock"), "demo")}
}

// joins starts m with a token that via makes, and waits until it is a full member.
func (h *ha) joins(ctx context.Context, m, via *member) error {
	made, err := ask[client.Outcome[client.JoinToken]](ctx, via.domain, "cluster", "token", m.as)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := m.join(ctx, made.After.Token); err != nil {
		return err
	}
	if err := h.caughtUp(ctx, m, via); err != nil {
		return err
	}
	h.members = append(h.members, m)
	h.lead()
	verified("%s joined with a token made at %s; %s after its start it is ready, has caught up and votes", m.as, via.as, milliseconds(time.Since(begun)))
	return nil
}

// lead tells the front where acme's endpoints are.
func (h *ha) lead() {
	if h.front == nil {
		return
	}
	var all []string
	for _, m := range h.members {
		all = append(all, m.bound.Bundle)
	}
	h.front.lead(all)
}

// cluster is how the members are, asked at m.
func (m *member) cluster(ctx context.Context) (client.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var c client.Cluster
	err := m.admin.Do(ctx, "GET", client.Path("cluster"), nil, nil, &c)
	return c, err
}

// leader is the member that leads, as soon as there is one.
func (h *ha) leader(ctx context.Context, via *member) (*member, error) {
	var leading *member
	err := eventually(ctx, 15*time.Second, func(ctx context.Context) error {
		c, err := via.cluster(ctx)
		if err != nil {
			return err
		}
		for _, shown := range c.Members {
			if i := slices.IndexFunc(h.members, func(m *member) bool { return m.as == shown.Name }); shown.Leading && i >= 0 {
				leading = h.members[i]
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	return leading, err
}

// but are the members without one.
func (h *ha) but(without *member) []*member {
	return slices.DeleteFunc(slices.Clone(h.members), func(m *member) bool { return m == without })
}

// caughtUp waits until m, which was just started, says that it is ready, votes,
// and has what the furthest member had when it said so.
func (h *ha) caughtUp(ctx context.Context, m, via *member) error {
	var err error
	if m.bound, err = m.addresses(); err != nil {
		return err
	}
	if err := eventually(ctx, 20*time.Second, m.ready); err != nil {
		return fmt.Errorf("%s should be ready: %w", m.as, err)
	}
	var index uint64
	return eventually(ctx, 20*time.Second, func(ctx context.Context) error {
		c, err := via.cluster(ctx)
		if err != nil {
			return err
		}
		if index == 0 {
			for _, other := range c.Members {
				index = max(index, other.LastIndex)
			}
		}
		i := slices.IndexFunc(c.Members, func(other client.ClusterMember) bool { return other.Name == m.as })
		switch {
		case i < 0:
			return fmt.Errorf("%s does not know %s", via.as, m.as)
		case !c.Members[i].Answers:
			return fmt.Errorf("%s does not answer: %s", m.as, c.Members[i].Error)
		case !c.Members[i].Voter || c.Members[i].Applied < index:
			return fmt.Errorf("%s votes: %t; it has applied %d of %d", m.as, c.Members[i].Voter, c.Members[i].Applied, index)
		}
		return nil
	})
}

// writes are the entries that the write probes made, and that were acknowledged.
type writes struct {
	mu    sync.Mutex
	begun int
	done  []string // SPIFFE IDs
}

func (w *writes) next() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun++
	return w.begun
}

func (w *writes) acknowledged(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, id)
}

// all returns what was acknowledged so far.
func (w *writes) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.done)
}

func milliseconds(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// readBundle is acme's bundle as its node m shows it, to verify endpoints by.
func readBundle(ctx context.Context, m *member) (*spiffebundle.Bundle, []byte, error) {
	text, err := m.run(ctx, "bundle", "show", "--format", "spiffe")
	if err != nil {
		return nil, nil, err
	}
	td, err := spiffeid.TrustDomainFromString(m.name)
	if err != nil {
		return nil, nil, err
	}
	bundle, err := spiffebundle.Parse(td, text)
	return bundle, text, err
}

// writeBundle keeps a bundle as a file, and returns its name.
func (h *ha) writeBundle(name string, text []byte) (string, error) {
	file := filepath.Join(h.dir, name+".json")
	return file, os.WriteFile(file, text, 0o644)
}
