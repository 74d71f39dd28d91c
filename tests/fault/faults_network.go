package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/concord-id/concord/tests/fault/history"
	"github.com/concord-id/concord/tests/fault/wire"
)

var networkFaults = []fault{
	{group: "network", name: "isolate-leader", what: "the leader reaches no member and none reaches it", do: atLeader(isolate)},
	{group: "network", name: "isolate-stale", what: "a member is alone until it is stale, and longer", do: atFollower(isolateUntilStale)},
	{group: "network", name: "bridge", what: "two members reach only the third", do: atAny(bridge)},
	{group: "network", name: "one-way-out", what: "the leader hears the others, and they do not hear it", do: atLeader(deafen(true))},
	{group: "network", name: "one-way-in", what: "a member's packets arrive, and it hears nobody", do: atAny(deafen(false))},
	{group: "network", name: "loss", what: "5 % to 50 % of the packets between members are lost", light: true, do: everywhere(lose)},
	{group: "network", name: "delay", what: "300 ms ± 100 ms between members, so that packets overtake one another", light: true, do: everywhere(delay)},
	{group: "network", name: "slow-catch-up", what: "a member that was away catches up over a slow link", do: atFollower(catchUpSlowly)},
	{group: "network", name: "peers-fail", what: "peers' endpoints answer 500", light: true, do: everywhere(misbehave(failing))},
	{group: "network", name: "peers-drip", what: "peers' endpoints answer a byte each 100 ms", light: true, do: everywhere(misbehave(dripping))},
	{group: "network", name: "peers-roll-back", what: "peers' endpoints serve what they served before", light: true, do: everywhere(misbehave(rolledBack))},
}

// cut lets nothing through between a machine and others, in both directions, until
// it is undone.
func (c *campaign) cut(m *machine, others ...*machine) (undo func()) {
	var all undoing
	for _, o := range others {
		all = append(all, c.wire.Set(m.host, o.host, wire.Rule{Cut: true}), c.wire.Set(o.host, m.host, wire.Rule{Cut: true}))
	}
	return all.do
}

// undoing takes rules back.
type undoing []func()

func (u undoing) do() {
	for _, undo := range u {
		undo()
	}
}

// splitTime is how long a network is split.
func splitTime(random *rand.Rand) time.Duration {
	return between(random, 500*time.Millisecond, 6*time.Second)
}

func isolate(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
	defer c.cut(m, c.others(m)...)()
	pause(ctx, splitTime(random))
	return nil
}

// staleSlack is what may pass until a node notices that it is stale, and until an
// answer that it was giving is given.
const staleSlack = 2 * time.Second

func isolateUntilStale(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
	defer c.cut(m, c.others(m)...)()
	begin := c.rec.now() + maxStaleness + staleSlack
	pause(ctx, maxStaleness+staleSlack+between(random, time.Second, 3*time.Second))
	c.rec.add(history.Event{Kind: history.Stale, Node: m.name, Begin: begin, End: c.rec.now()})
	return nil
}

func bridge(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
	others := c.others(m)
	defer c.cut(others[0], others[1:]...)()
	pause(ctx, splitTime(random))
	return nil
}

func deafen(out bool) func(context.Context, *campaign, *rand.Rand, *machine) error {
	return func(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
		var all undoing
		for _, o := range c.others(m) {
			from, to := m.host, o.host
			if !out {
				from, to = to, from
			}
			all = append(all, c.wire.Set(from, to, wire.Rule{Cut: true}))
		}
		defer all.do()
		pause(ctx, splitTime(random))
		return nil
	}
}

// between sets a rule for all packets between members.
func (c *campaign) between(rule wire.Rule) (undo func()) {
	var all undoing
	for _, from := range c.machines {
		for _, to := range c.others(from) {
			all = append(all, c.wire.Set(from.host, to.host, rule))
		}
	}
	return all.do
}

func lose(ctx context.Context, c *campaign, random *rand.Rand) error {
	defer c.between(wire.Rule{Loss: 0.05 + 0.45*random.Float64()})()
	pause(ctx, splitTime(random))
	return nil
}

func delay(ctx context.Context, c *campaign, random *rand.Rand) error {
	defer c.between(wire.Rule{Delay: 200 * time.Millisecond, Jitter: 200 * time.Millisecond})()
	pause(ctx, splitTime(random))
	return nil
}

// slowRate is of a link over which a snapshot takes seconds.
const slowRate = 100_000

func catchUpSlowly(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
	m.kill()
	pause(ctx, between(random, time.Second, 4*time.Second))
	var all undoing
	for _, o := range c.others(m) {
		all = append(all, c.wire.Set(o.host, m.host, wire.Rule{Rate: slowRate, Delay: 20 * time.Millisecond}))
	}
	defer all.do()
	_, err := m.begin("", "node", "run")
	pause(ctx, splitTime(random))
	return err
}

func misbehave(how behaviour) func(context.Context, *campaign, *rand.Rand) error {
	return func(ctx context.Context, c *campaign, random *rand.Rand) error {
		for _, p := range c.peers {
			if random.IntN(2) == 0 {
				p.behave(how)
				defer p.behave(honest)
			}
		}
		pause(ctx, splitTime(random))
		return nil
	}
}
