package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/fault/history"
	"github.com/concord-id/concord/tests/fault/wire"
)

const (
	size      = 3
	hubNumber = 100 // of the host at which the peers are, and those who read bundles
)

// campaign is a cluster, those who work with it, and what is done to it.
type campaign struct {
	o        options
	dir      string // sockets are in it, so its name is short
	programs programs
	rec      *recorder
	random   *rand.Rand // of the faults alone

	wire     *wire.Wire
	hub      *wire.Host
	machines []*machine
	peers    []*peer
	register register
	turner   *turner
	watching []*workload

	acknowledged atomic.Int64
	injected     map[string]int // faults, by name
}

// random makes independent sequences of one seed.
func (o options) random(part uint64) *rand.Rand { return rand.New(rand.NewPCG(o.seed, part)) }

func newCampaign(ctx context.Context, o options) (c *campaign, err error) {
	c = &campaign{o: o, random: o.random(0), injected: map[string]int{}}
	if c.dir, err = os.MkdirTemp("", "c"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	fmt.Fprintln(o.out, "building")
	if c.programs, err = build(ctx, o, c.dir); err != nil {
		return nil, err
	}
	if c.rec, err = newRecorder(o.keep); err != nil {
		return nil, err
	}
	c.wire = wire.New(o.random(1))
	if c.hub, err = c.wire.Host(hubNumber); err != nil {
		return nil, err
	}
	for i := range size {
		host, err := c.wire.Host(byte(i + 1))
		if err != nil {
			return nil, err
		}
		m, err := newMachine(byte(i+1), host, c.dir, o.keep, c.programs.shipped, c.rec, o.random(uint64(10+i)))
		if err != nil {
			return nil, err
		}
		c.machines = append(c.machines, m)
	}
	return c, nil
}

// close ends everything and leaves nothing but the history and the logs.
func (c *campaign) close() (err error) {
	for _, m := range c.machines {
		err = errors.Join(err, m.close())
	}
	if c.wire != nil {
		err = errors.Join(err, c.wire.Close())
	}
	if c.rec != nil {
		err = errors.Join(err, c.rec.close())
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// run founds the cluster, lets everybody work while faults come, and looks at
// how it ends.
func (c *campaign) run(ctx context.Context) error {
	if err := c.found(ctx); err != nil {
		return err
	}
	working, rest := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer rest()
	c.load(working, &all)
	if err := c.faults(ctx); err != nil {
		return err
	}
	return c.finish(ctx, func() { rest(); all.Wait() })
}

// found makes the cluster, its peers and the identity that is watched.
func (c *campaign) found(ctx context.Context) error {
	first := c.machines[0]
	if err := first.run(ctx); err != nil {
		return err
	}
	for _, m := range c.machines[1:] {
		if err := c.admit(ctx, first, m); err != nil {
			return err
		}
	}
	if err := c.whole(ctx); err != nil {
		return err
	}
	entry := client.Entry{SPIFFEID: "spiffe://" + domain + "/web", Selectors: []string{fmt.Sprint("unix:uid:", os.Getuid())}}
	for i := range peersFollowed {
		p, err := newPeer(i+1, c.hub, c.rec, c.o.random(uint64(50+i)))
		if err != nil {
			return err
		}
		c.peers = append(c.peers, p)
		entry.FederatesWith = append(entry.FederatesWith, p.domain.Name())
		if err := first.door.do(ctx, call{method: http.MethodPost, path: client.Path("federation"), in: p.relationship()}); err != nil {
			return err
		}
	}
	return first.door.do(ctx, call{method: http.MethodPost, path: client.Path("entries"), in: entry})
}

// admit has an empty machine join, by a token that another member makes.
func (c *campaign) admit(ctx context.Context, via, m *machine) error {
	var made client.Outcome[client.JoinToken]
	err := via.door.do(ctx, call{method: http.MethodPost, path: client.Path("cluster", "tokens"), in: client.NewJoinToken{Name: m.name, TTL: client.Duration(time.Hour)}, out: &made})
	if err != nil {
		return fmt.Errorf("make a join token for %s at %s: %w", m.name, via.name, err)
	}
	return m.join(ctx, made.After.Token)
}

// load has everybody work until ctx ends.
func (c *campaign) load(ctx context.Context, all *sync.WaitGroup) {
	for i := range writers {
		w := &writer{name: fmt.Sprint("writer-", i+1), c: c, random: c.o.random(uint64(100 + i)), register: &c.register, known: map[string]uint64{}}
		all.Go(func() { w.work(ctx) })
	}
	for i, m := range c.machines {
		w := &workload{m: m, rec: c.rec}
		c.watching = append(c.watching, w)
		all.Go(func() { w.work(ctx) })
		all.Go(func() { c.sample(ctx, m) })
		r := newReader(c, "kept-"+m.name, history.Kept, m, c.o.random(uint64(200+i)))
		all.Go(func() { r.work(ctx) })
	}
	for i, way := range []string{history.Tagged, history.Fresh} {
		r := newReader(c, way, way, nil, c.o.random(uint64(300+i)))
		all.Go(func() { r.work(ctx) })
	}
	for _, p := range c.peers {
		all.Go(func() { p.work(ctx) })
	}
	c.turner = &turner{c: c, random: c.o.random(400)}
	all.Go(func() { c.turner.work(ctx) })
}

// sum says what came of the campaign.
func (c *campaign) sum() error {
	fmt.Fprintf(c.o.out, "seed %d: %d faults, %d acknowledged writes, %d turns of authorities, history in %s\n",
		c.o.seed, total(c.injected), c.acknowledged.Load(), c.turner.turns, filepath.Join(c.o.keep, "history.jsonl"))
	printInjected(c.o.out, c.injected)
	return errors.Join(report(c.o.out, c.rec.all()), c.enough())
}

// What a long campaign with all faults must have had, to say anything.
const (
	longCampaign  = 10 * time.Minute
	leastFaults   = 60
	leastWrites   = 10_000
	leastOfAFault = 1
)

// enough is an error if a long campaign was less than that.
func (c *campaign) enough() error {
	if c.o.only != "" || c.o.time < longCampaign {
		return nil
	}
	var short []string
	if n := total(c.injected); n < leastFaults {
		short = append(short, fmt.Sprintf("%d faults, not %d", n, leastFaults))
	}
	if n := c.acknowledged.Load(); n < leastWrites {
		short = append(short, fmt.Sprintf("%d acknowledged writes, not %d", n, leastWrites))
	}
	for _, f := range everyFault() {
		if c.injected[f.name] < leastOfAFault {
			short = append(short, "no "+f.name)
		}
	}
	if len(short) > 0 {
		return fmt.Errorf("the campaign was too small to say anything: %s", strings.Join(short, "; "))
	}
	return nil
}

// report prints what must not be, and is an error if there is anything.
func report(out io.Writer, events []history.Event) error {
	wrong := history.Check(events)
	for i, v := range wrong {
		if i == 20 {
			fmt.Fprintln(out, "VIOLATION and more")
			break
		}
		fmt.Fprintf(out, "VIOLATION %.900s\n", v)
	}
	fmt.Fprintf(out, "%d events, violations %d\n", len(events), len(wrong))
	if len(wrong) > 0 {
		return fmt.Errorf("%d violations, the first: %.400s", len(wrong), wrong[0])
	}
	return nil
}

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
