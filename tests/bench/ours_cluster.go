package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
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

// stop ends the nodes and removes their data.
func (c *cluster) stop() error {
	var errs []error
	for _, m := range c.members {
		errs = append(errs, m.kill(), m.errors.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}
