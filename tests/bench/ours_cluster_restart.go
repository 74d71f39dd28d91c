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

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	restartEntries = 100_000
	restartLimit   = 5 * time.Second
	restarts       = 3
)

// restart creates 100,000 entries as fast as they are taken, and kills nodes: in turn
// one of them, and all. Measured is from the start of a process until it says that
// it is ready, and until a workload has its SVID from it, on the log and the
// snapshot as the kill left them.
func restart(ctx context.Context) (seen result, err error) {
	c, err := startCluster(ctx)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := errors.Join(c.workload(ctx), c.fill(ctx, restartEntries)); err != nil {
		return result{}, err
	}
	var one, all, floors []time.Duration
	for n := range restarts {
		whole, err := c.again(ctx, c.members)
		if err != nil {
			return result{}, err
		}
		single, err := c.again(ctx, c.members[n%clusterSize:n%clusterSize+1])
		if err != nil {
			return result{}, err
		}
		floor, err := c.floor()
		if err != nil {
			return result{}, err
		}
		all, one, floors = append(all, whole...), append(one, single...), append(floors, floor)
	}
	slices.Sort(floors)
	worst := max(slices.Max(all), slices.Max(one))
	return result{
		floor: milliseconds(floors[len(floors)/2]), ours: milliseconds(slices.Max(all)),
		ratio: "one: " + milliseconds(slices.Max(one)), met: worst < restartLimit,
	}, nil
}

// fill creates n entries at the first node.
func (c *cluster) fill(ctx context.Context, n int) error {
	conn, err := grpc.NewClient("unix://"+filepath.Join(c.members[0].dir, "admin.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	begun := time.Now()
	for first := 0; first < n && ctx.Err() == nil; first += batchItems {
		if err := oneBatch(ctx, conn, first, batchItems); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "%d entries created in %.1f s\n", n, time.Since(begun).Seconds())
	return ctx.Err()
}

// again kills members, starts them together and waits until the cluster is whole.
// It returns for each how long it took until its first SVID.
func (c *cluster) again(ctx context.Context, members []*member) ([]time.Duration, error) {
	for _, m := range members {
		if err := m.kill(); err != nil {
			return nil, err
		}
	}
	c.describe()
	took, errs := make([]time.Duration, len(members)), make([]error, len(members))
	var running sync.WaitGroup
	for i, m := range members {
		running.Go(func() {
			begun := time.Now()
			errs[i] = errors.Join(m.start("run"), m.eventually(ctx, func() error { return m.ready(ctx) }))
			ready := time.Since(begun)
			if errs[i] == nil {
				errs[i] = m.eventually(ctx, func() error {
					_, err := fetchOnce(ctx, m.socket())
					return err
				})
			}
			took[i] = time.Since(begun)
			busy, err := m.processorTime()
			errs[i] = errors.Join(errs[i], err)
			fmt.Fprintf(os.Stderr, "%d killed: %s was ready after %s, and gave an SVID after %s, %s of a core\n",
				len(members), m.name, milliseconds(ready), milliseconds(took[i]), milliseconds(busy))
		})
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	_, err := c.whole(ctx)
	return took, err
}

// stored are the directories of what a node reads when it starts.
func (c *cluster) stored() (dirs []string) {
	for _, m := range c.members {
		dirs = append(dirs, filepath.Join(m.dir, "private", "raft"))
	}
	return dirs
}

// describe says what is on the disks.
func (c *cluster) describe() {
	for i, dir := range c.stored() {
		snapshots, _ := filepath.Glob(filepath.Join(dir, "snapshots", "*.snapshot"))
		slices.Sort(snapshots)
		text := "no snapshot"
		if len(snapshots) > 0 {
			name := snapshots[len(snapshots)-1]
			if info, err := os.Stat(name); err == nil {
				text = fmt.Sprintf("snapshot %.20s of %.1f MiB", filepath.Base(name), float64(info.Size())/(1<<20))
			}
		}
		fmt.Fprintf(os.Stderr, "%s has a %s\n", c.members[i].name, text)
	}
}

func (c *cluster) floor() (time.Duration, error) {
	took, _, err := floorRead(c.stored())
	return took, err
}
