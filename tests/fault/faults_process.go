package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/concord-id/concord/tests/crash/powercut"
)

var processFaults = []fault{
	{group: "process", name: "kill-leader", what: "the leader is killed, and started again", do: atLeader(killFor)},
	{group: "process", name: "kill-follower", what: "another member is killed, and started again", do: atFollower(killFor)},
	{group: "process", name: "kill-all", what: "all are killed at once, and started one after another", do: everywhere(killAll)},
	{group: "process", name: "pause", what: "the leader stands still (SIGSTOP) for 0.1 s to 6 s", do: atLeader(standStill)},
	{group: "process", name: "roll", what: "all are restarted (SIGTERM), one after another", do: everywhere(roll)},
	{group: "process", name: "crash-loop", what: "one is killed five times while it starts", do: atAny(crashLoop)},
	{group: "process", name: "power-cut", what: "one loses its power at an operation of its disk, and what was not synced", do: atAny(cutPower)},
}

// downTime is how long a killed node stays away.
func downTime(random *rand.Rand) time.Duration {
	return between(random, 100*time.Millisecond, 4*time.Second)
}

func killFor(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
	m.kill()
	pause(ctx, downTime(random))
	return m.run(ctx)
}

func killAll(ctx context.Context, c *campaign, random *rand.Rand) error {
	for _, m := range c.machines {
		m.kill()
	}
	for _, i := range random.Perm(len(c.machines)) {
		// Alone it does not serve: it waits for a majority.
		if _, err := c.machines[i].begin("", "node", "run"); err != nil {
			return err
		}
		pause(ctx, between(random, 0, time.Second))
	}
	return nil
}

func standStill(ctx context.Context, _ *campaign, random *rand.Rand, m *machine) error {
	m.signal(syscall.SIGSTOP)
	pause(ctx, between(random, 100*time.Millisecond, 6*time.Second))
	m.signal(syscall.SIGCONT)
	return nil
}

func roll(ctx context.Context, c *campaign, random *rand.Rand) error {
	for _, i := range random.Perm(len(c.machines)) {
		if err := c.renew(ctx, c.machines[i], ""); err != nil {
			return err
		}
	}
	return nil
}

// renew stops a node and starts it again, with another program if there is one,
// and waits until all is well, as an operator does.
func (c *campaign) renew(ctx context.Context, m *machine, program string) error {
	if err := m.stop(); err != nil {
		c.rec.wrong(survival, "%v", err)
	}
	if program != "" {
		m.program = program
	}
	return errors.Join(m.run(ctx), c.whole(ctx))
}

func crashLoop(ctx context.Context, _ *campaign, random *rand.Rand, m *machine) error {
	m.kill()
	for range 5 {
		if _, err := m.begin("", "node", "run"); err != nil {
			return err
		}
		pause(ctx, between(random, 0, 300*time.Millisecond))
		m.kill()
	}
	return m.run(ctx)
}

// mostOperations is how far ahead the power goes.
const mostOperations = 400

func cutPower(ctx context.Context, _ *campaign, random *rand.Rand, m *machine) error {
	defer m.excuse()()
	select {
	case <-m.disk.CutAfter(1 + random.IntN(mostOperations)):
	case <-time.After(5 * time.Second):
	}
	m.kill()
	err := m.replug(func(d *powercut.Disk) *powercut.Disk {
		d.Restore(m.random)
		return d
	})
	pause(ctx, downTime(random))
	return errors.Join(err, m.run(ctx))
}
