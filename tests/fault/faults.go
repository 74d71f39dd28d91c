package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/concord-id/concord/tests/fault/history"
)

// fault is something that happens to a cluster. do does it, holds it, and takes
// it back; it returns to whom. Its error is that the campaign cannot go on.
type fault struct {
	group, name, what string
	do                func(context.Context, *campaign, *rand.Rand) (target string, err error)
	// light faults take no node away: one of them may come together with another fault.
	light   bool
	clock   bool // it needs nodes whose clocks can be set
	version bool // it needs another version
}

// everyFault is in the order of RELIABILITY's groups.
func everyFault() []fault {
	return slices.Concat(processFaults, networkFaults, diskFaults, clockFaults, membershipFaults, loadFaults)
}

// impossible are faults that cannot be made here, and why.
var impossible = []string{
	"Redis killed, flushed, partitioned: nothing of a cluster needs Redis yet",
}

// chosen are the faults that were asked for.
func (o options) chosen() (faults []fault, err error) {
	for _, f := range everyFault() {
		if o.only == "" || slices.ContainsFunc(strings.Split(o.only, ","), func(name string) bool { return name == f.group || name == f.name }) {
			faults = append(faults, f)
		}
	}
	if len(faults) == 0 {
		return nil, fmt.Errorf("there is no group and no fault called %q: -list prints all", o.only)
	}
	return faults, nil
}

// needs reports whether a fault among those that were asked for needs something.
func (o options) needs(of func(fault) bool) bool {
	faults, err := o.chosen()
	return err == nil && slices.ContainsFunc(faults, of)
}

// together is how often a light fault comes with another one, in a hundred.
const together = 30

// faults deals faults like cards: each once in a random order, and then again,
// until the time is over.
func (c *campaign) faults(ctx context.Context) error {
	all, err := c.o.chosen()
	if err != nil {
		return err
	}
	light := slices.DeleteFunc(slices.Clone(all), func(f fault) bool { return !f.light })
	var deck []fault
	for end := time.Now().Add(c.o.time); time.Now().Before(end); {
		if len(deck) == 0 {
			deck = slices.Clone(all)
			c.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		deal := deck[:1]
		if !deck[0].light && len(light) > 0 && c.random.IntN(100) < together {
			deal = []fault{deck[0], light[c.random.IntN(len(light))]}
		}
		deck = deck[1:]
		if err := c.strike(ctx, deal); err != nil {
			return err
		}
		pause(ctx, time.Duration(c.random.Int64N(int64(time.Second))))
	}
	return ctx.Err()
}

// strike injects faults at the same time, takes them back, and waits until the
// cluster is whole.
func (c *campaign) strike(ctx context.Context, deal []fault) error {
	errs := make(chan error, len(deal))
	var names []string
	for _, f := range deal {
		names = append(names, f.name)
		c.injected[f.name]++
		random := rand.New(rand.NewPCG(c.random.Uint64(), 0))
		go func() {
			e := history.Event{Kind: history.Fault, Group: f.group, Op: f.name, Begin: c.rec.now()}
			target, err := f.do(ctx, c, random)
			e.Node = target
			c.rec.add(e)
			if err != nil {
				err = fmt.Errorf("%s (%s): %w", f.name, target, err)
			}
			errs <- err
		}()
	}
	var err error
	for range deal {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return err
	}
	begun := c.rec.now()
	for _, m := range c.machines {
		if err := c.revive(ctx, m); err != nil {
			return err
		}
	}
	if err := c.whole(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.rec.wrong("a cluster heals by itself", "after %s: %v", strings.Join(names, " and "), err)
	}
	fmt.Fprintf(c.o.out, "%7s  %-42s whole again after %s, %d acknowledged\n", begun.Round(100*time.Millisecond), strings.Join(names, " and "),
		(c.rec.now() - begun).Round(10*time.Millisecond), c.acknowledged.Load())
	return nil
}

// revive starts a machine's node if it is not there.
func (c *campaign) revive(ctx context.Context, m *machine) error {
	if m.alive() {
		return nil
	}
	return m.run(ctx)
}

// between is a random time.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)))
}

// any returns one of the machines.
func (c *campaign) any(random *rand.Rand) *machine {
	return c.machines[random.IntN(len(c.machines))]
}

// follower returns one that does not lead.
func (c *campaign) follower(ctx context.Context, random *rand.Rand) (*machine, error) {
	leader, err := c.leader(ctx)
	if err != nil {
		return nil, err
	}
	others := c.others(leader)
	return others[random.IntN(len(others))], nil
}

// atLeader makes a fault of what is done to the leader.
func atLeader(do func(context.Context, *campaign, *rand.Rand, *machine) error) func(context.Context, *campaign, *rand.Rand) (string, error) {
	return func(ctx context.Context, c *campaign, random *rand.Rand) (string, error) {
		m, err := c.leader(ctx)
		if err != nil {
			return "", err
		}
		return m.name + ", the leader", do(ctx, c, random, m)
	}
}

// atFollower makes one of what is done to a member that does not lead.
func atFollower(do func(context.Context, *campaign, *rand.Rand, *machine) error) func(context.Context, *campaign, *rand.Rand) (string, error) {
	return func(ctx context.Context, c *campaign, random *rand.Rand) (string, error) {
		m, err := c.follower(ctx, random)
		if err != nil {
			return "", err
		}
		return m.name, do(ctx, c, random, m)
	}
}

// atAny makes one of what is done to any member.
func atAny(do func(context.Context, *campaign, *rand.Rand, *machine) error) func(context.Context, *campaign, *rand.Rand) (string, error) {
	return func(ctx context.Context, c *campaign, random *rand.Rand) (string, error) {
		m := c.any(random)
		return m.name, do(ctx, c, random, m)
	}
}

// everywhere makes one of what is done to all.
func everywhere(do func(context.Context, *campaign, *rand.Rand) error) func(context.Context, *campaign, *rand.Rand) (string, error) {
	return func(ctx context.Context, c *campaign, random *rand.Rand) (string, error) {
		return "all", do(ctx, c, random)
	}
}

// printFaults prints what there is.
func printFaults(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range everyFault() {
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.group, f.name, f.what)
	}
	table.Flush()
	for _, text := range impossible {
		fmt.Fprintln(out, "not here:", text)
	}
}

// printInjected prints how often each came, by group.
func printInjected(out io.Writer, injected map[string]int) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	group, sum, line := "", 0, []string{}
	flush := func() {
		if group != "" {
			fmt.Fprintf(table, "  %s\t%d\t%s\n", group, sum, strings.Join(line, ", "))
		}
	}
	for _, f := range everyFault() {
		if f.group != group {
			flush()
			group, sum, line = f.group, 0, nil
		}
		sum += injected[f.name]
		line = append(line, fmt.Sprintf("%s %d", f.name, injected[f.name]))
	}
	flush()
	table.Flush()
	for _, text := range impossible {
		fmt.Fprintln(out, "  not here:", text)
	}
}
