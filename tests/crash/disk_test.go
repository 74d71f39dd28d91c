package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/concord-id/concord/tests/crash/powercut"
)

// outlive lets the node start, and work if it comes so far, until what is wrong
// with the disk ends it. It returns the exit code and what was logged.
func (c *campaign) outlive(ctx context.Context, spoil func()) (code int, log string, err error) {
	dir, err := c.ground.lay()
	if err != nil {
		return 0, "", err
	}
	p, err := start(c.programs[0], dir)
	if err != nil {
		return 0, "", err
	}
	defer func() {
		p.kill()
		if cleared := c.ground.clear(); err == nil {
			err = cleared
		}
	}()
	select {
	case <-p.ended:
	case <-ctx.Done():
		return 0, "", context.Cause(ctx)
	case <-p.up:
		d, err := p.door()
		if err != nil {
			return 0, "", err
		}
		defer d.close()
		if spoil != nil {
			if err := c.check(ctx, d); err != nil {
				return 0, "", err
			}
			spoil()
		}
		if err := c.load(ctx, p, d, p.ended); err != nil {
			return 0, "", err
		}
	}
	c.deaths++
	return p.code(), p.log.String(), nil
}

// loud fails the test unless a node ended as one does whose disk failed: with
// an error that names the directory and what happened there.
func loud(t *testing.T, code int, log string, words ...string) {
	t.Helper()
	said := log[max(0, strings.LastIndex(log, "\nconcord: ")):]
	for _, word := range append(words, "concord: ") {
		if code != 1 || !strings.Contains(said, word) {
			t.Errorf("it ended with exit code %d, and what it says last is not about %q:\n%s", code, word, tail(log, 8))
			return
		}
	}
	if strings.Contains(log, "panic") || strings.Contains(log, "fatal error") || strings.Contains(log, "goroutine ") {
		t.Errorf("it crashed:\n%s", tail(log, 40))
	}
}

func TestAFailingDiskEndsTheNodeLoudlyAndLosesNothing(t *testing.T) {
	const log, trail, snapshot = "log.db", "*.jsonl", "*.partial"
	for _, f := range []struct {
		powercut.Fault
		early bool // it is there before the node starts
		hasty bool // the node takes snapshots
	}{
		{Fault: powercut.Fault{Op: powercut.Sync, File: log, Nth: 1, Err: syscall.EIO}, early: true},
		{Fault: powercut.Fault{Op: powercut.Sync, File: log, Nth: 4, Err: syscall.EIO, Kept: true}, early: true},
		{Fault: powercut.Fault{Op: powercut.Sync, File: log, Nth: 1, Err: syscall.EIO, Kept: true}},
		{Fault: powercut.Fault{Op: powercut.Sync, File: log, Nth: 2, Err: syscall.EIO}},
		{Fault: powercut.Fault{Op: powercut.Sync, File: log, Nth: 61, Err: syscall.EIO}},
		{Fault: powercut.Fault{Op: powercut.Write, File: log, Nth: 17, Err: syscall.ENOSPC}},
		{Fault: powercut.Fault{Op: powercut.Write, File: trail, Nth: 5, Err: syscall.EIO}},
		{Fault: powercut.Fault{Op: powercut.Sync, File: trail, Nth: 2, Err: syscall.EIO}, hasty: true},
		{Fault: powercut.Fault{Op: powercut.Write, File: snapshot, Nth: 1, Err: syscall.ENOSPC}, hasty: true},
		{Fault: powercut.Fault{Op: powercut.Sync, File: snapshot, Nth: 2, Err: syscall.EIO}, hasty: true},
	} {
		name := fmt.Sprintf("%s of %s, the %d. time, kept %v, from the start %v", f.Op, f.File, f.Nth, f.Kept, f.early)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, ctx := onDisk(t), soon(t)
			node := shipped(t)
			if f.hasty {
				node = snapping(t)
			}
			c := newCampaign(said{t}, "fault", 1, g, node)
			try(t, c.live(ctx, c.afterAcknowledged(60)))
			spoil := func() { g.disk.Inject(f.Fault) }
			if f.early {
				spoil()
				spoil = nil
			}
			code, printed, err := c.outlive(ctx, spoil)
			try(t, err)
			loud(t, code, printed, g.dir, f.Err.Error())
			if !g.disk.Met() {
				t.Error("the fault was not met")
			}
			g.disk.Mend()
			try(t, c.finish(ctx))
			try(t, c.sum())
		})
	}
}

func TestAFullDiskEndsTheNodeLoudlyAndItGoesOnWhenThereIsSpace(t *testing.T) {
	t.Parallel()
	g, ctx := onDisk(t), soon(t)
	c := newCampaign(said{t}, "fault", 1, g, shipped(t))
	try(t, c.live(ctx, c.afterAcknowledged(60)))
	for range 2 {
		code, log, err := c.outlive(ctx, g.disk.Fill)
		try(t, err)
		loud(t, code, log, g.dir, syscall.ENOSPC.Error())
		// While it is full, it does not start, and says why.
		code, log, err = c.outlive(ctx, nil)
		try(t, err)
		loud(t, code, log, g.dir, syscall.ENOSPC.Error())
		g.disk.Free()
		before := c.acknowledged.Load()
		try(t, c.live(ctx, c.afterAcknowledged(60)))
		if c.acknowledged.Load() == before {
			t.Error("with space again, nothing was acknowledged")
		}
	}
	try(t, c.finish(ctx))
	try(t, c.sum())
}
