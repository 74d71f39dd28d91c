package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/concord-id/concord/tests/crash/powercut"
)

var diskFaults = []fault{
	{group: "disk", name: "full", what: "a disk is full for a while (ENOSPC)", do: atAny(fillDisk)},
	{group: "disk", name: "sync-error", what: "syncs of a log fail (EIO)", do: atAny(diskFails(powercut.Sync, syscall.EIO))},
	{group: "disk", name: "read-only", what: "nothing can be written any more (EROFS)", do: atAny(diskFails(powercut.Write, syscall.EROFS))},
	{group: "disk", name: "slow-sync", what: "each sync of the leader takes 2 s", do: atLeader(slowSync)},
	{group: "disk", name: "bit-flip", what: "a bit of a log, a snapshot or a key flips while the node is away", do: atFollower(flipBit)},
	{group: "disk", name: "descriptors", what: "a process can open no more files", light: true, do: atAny(exhaust)},
	{group: "disk", name: "gone", what: "a disk is lost: the member is removed, and an empty machine joins under its name", do: atFollower(loseDisk)},
	{group: "disk", name: "old-image", what: "a machine comes back with an old copy of its disk", do: atFollower(restoreImage)},
}

// logFile is where a node keeps its log.
const logFile = "log.db"

func fillDisk(ctx context.Context, _ *campaign, random *rand.Rand, m *machine) error {
	defer m.excuse()()
	m.disk.Fill()
	pause(ctx, between(random, 500*time.Millisecond, 3*time.Second))
	m.disk.Free()
	return m.recover(ctx)
}

// recover starts a node that has ended because of its disk, as its supervisor
// does; one that goes on is left alone.
func (m *machine) recover(ctx context.Context) error {
	pause(ctx, 500*time.Millisecond) // it may be about to end
	if m.alive() {
		return nil
	}
	return m.run(ctx)
}

// diskFails has operations on the log fail, of which the node must end.
func diskFails(op powercut.Op, with syscall.Errno) func(context.Context, *campaign, *rand.Rand, *machine) error {
	return func(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
		defer m.excuse()()
		m.disk.Inject(powercut.Fault{Op: op, File: logFile, Nth: 1 + random.IntN(20), Err: with, Kept: op == powercut.Sync && random.IntN(2) == 0})
		l := m.current()
		select {
		case <-l.ended:
			if l.cmd.ProcessState.ExitCode() == 0 {
				c.rec.wrong(loud, "%s ended with exit code 0 when its disk failed: %s", m.name, l.said.tail(3))
			}
		case <-time.After(20 * time.Second):
			if !m.disk.Met() {
				return fmt.Errorf("%s has not done so many of these in 20 s", m.name)
			}
			c.rec.wrong(loud, "%s goes on although its disk failed: %s", m.name, l.said.tail(3))
			m.kill()
		}
		m.disk.Mend()
		return m.run(ctx)
	}
}

// loud is the invariant that nobody works with what is damaged.
const loud = "what a disk does is loud"

func slowSync(ctx context.Context, _ *campaign, random *rand.Rand, m *machine) error {
	m.disk.Slow(powercut.Sync, logFile, 2*time.Second)
	pause(ctx, between(random, 2*time.Second, 6*time.Second))
	m.disk.Mend()
	return nil
}

// flipped are the files of which a bit may flip.
var flipped = []struct{ dir, pattern string }{
	{"d/private/raft", logFile}, {"d/private/raft", logFile}, {"d/private/raft/snapshots", "*.snapshot"}, {"d/private/raft", "node.key"},
	{"d/private/audit", "*.jsonl"}, {"d/private", "kek"},
}

func flipBit(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
	defer m.excuse()()
	m.kill()
	which, name := flipped[random.IntN(len(flipped))], ""
	err := m.replug(func(d *powercut.Disk) *powercut.Disk {
		part, bit := random.Float64(), uint(random.IntN(8))
		if name = d.Flip(which.dir, which.pattern, part, bit); name == "" { // there is no snapshot yet
			name = d.Flip("d/private/raft", logFile, part, bit)
		}
		return d
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.o.out, "         a bit flips in %s of %s\n", name, m.name)
	l, err := m.begin("", "node", "run")
	if err != nil {
		return err
	}
	select {
	case <-l.up: // it was in no use: what it serves is compared with the others
		pause(ctx, 2*time.Second)
		if m.alive() {
			return nil
		}
	case <-l.ended:
	case <-time.After(upTime):
		return fmt.Errorf("%s neither serves nor ends with a flipped bit in %s", m.name, name)
	}
	if l.cmd.ProcessState.ExitCode() == 0 || !l.said.has("damaged", "corrupt", "checksum", "another one", "does not", "missing", "not that of", "invalid") {
		c.rec.wrong(loud, "%s has a flipped bit in %s and ended with exit code %d, and said %s", m.name, name, l.cmd.ProcessState.ExitCode(), l.said.tail(3))
	}
	return c.replace(ctx, m)
}

// replace removes a member that is gone for good, and has an empty machine join
// under its name.
func (c *campaign) replace(ctx context.Context, m *machine) error {
	if err := c.forget(ctx, m); err != nil {
		return err
	}
	return c.admit(ctx, c.others(m)[0], m)
}

// emptied is another disk in the place of one.
func emptied(*powercut.Disk) *powercut.Disk { return powercut.NewDisk() }

func loseDisk(ctx context.Context, c *campaign, _ *rand.Rand, m *machine) error {
	return c.replace(ctx, m)
}

// exhausted is how many more files a process may open.
const exhausted = 4

func exhaust(ctx context.Context, _ *campaign, random *rand.Rand, m *machine) error {
	defer m.excuse()()
	pid := m.pid()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil || pid == 0 {
		return nil // another fault has it just now
	}
	var before unix.Rlimit
	limit := unix.Rlimit{Cur: uint64(len(open) + exhausted)}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		return fmt.Errorf("read the limit of descriptors: %w", err)
	}
	limit.Max = before.Max
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		return fmt.Errorf("limit the descriptors: %w", err)
	}
	pause(ctx, between(random, time.Second, 4*time.Second))
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("give the descriptors back: %w", err)
	}
	return nil
}

func restoreImage(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
	defer m.excuse()()
	m.kill()
	image := m.disk.Image()
	if err := m.run(ctx); err != nil {
		return err
	}
	if err := c.whole(ctx); err != nil {
		return err
	}
	pause(ctx, between(random, 500*time.Millisecond, 2*time.Second))
	m.kill()
	if err := m.replug(func(*powercut.Disk) *powercut.Disk { return image }); err != nil {
		return err
	}
	if err := m.run(ctx); err == nil || !m.current().said.has("another process has run as this node") {
		c.rec.wrong("a copy of a member is refused", "%s came back with an old disk, and: %v; it said %s", m.name, err, m.current().said.tail(3))
	}
	return c.replace(ctx, m)
}
