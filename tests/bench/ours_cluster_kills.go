package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const (
	kills          = 50
	backMedian     = 2 * time.Second
	backWorst      = 4 * time.Second
	electionFloor  = 500 * time.Millisecond // the election time-out with more than one voter
	issueEvery     = 20 * time.Millisecond
	issueWithin    = time.Second
	writeTryWithin = 10 * time.Second
)

// leaderKilled kills the leader time and again. Meanwhile workloads ask the other
// nodes for SVIDs, and somebody writes at both of them. A write is back when both
// have acknowledged one that was asked for after the kill.
func leaderKilled(ctx context.Context) (seen result, err error) {
	c, err := startCluster(ctx)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := c.workload(ctx); err != nil {
		return result{}, err
	}
	var back []time.Duration
	var issued, failed atomic.Int64
	var next atomic.Int64
	for n := range kills {
		took, err := c.oneKill(ctx, &issued, &failed, &next)
		if err != nil {
			return result{}, fmt.Errorf("kill %d: %w", n+1, err)
		}
		back = append(back, took)
	}
	slices.Sort(back)
	middle, worst, late := back[kills/2], back[kills-1], back[kills*99/100-1]
	fmt.Fprintf(os.Stderr, "%d kills: %d SVIDs issued by the other nodes, %d failed; writes back after %s at the median, %s at the second worst, %s at the worst\n",
		kills, issued.Load(), failed.Load(), milliseconds(middle), milliseconds(late), milliseconds(worst))
	return result{
		floor: milliseconds(electionFloor), ours: milliseconds(middle),
		ratio: fmt.Sprintf("worst %s, %d failed", milliseconds(worst), failed.Load()),
		met:   failed.Load() == 0 && issued.Load() > 0 && middle < backMedian && worst < backWorst,
	}, nil
}

// oneKill kills the leader, waits until there are writes again at the others, and
// brings it back.
func (c *cluster) oneKill(ctx context.Context, issued, failed, next *atomic.Int64) (time.Duration, error) {
	leader, err := c.whole(ctx)
	if err != nil {
		return 0, err
	}
	others := c.but(leader)
	asking, stop := context.WithCancel(ctx)
	defer stop()
	var workloads sync.WaitGroup
	for _, m := range others {
		workloads.Go(func() { m.issue(asking, issued, failed) })
	}
	if err := leader.kill(); err != nil {
		return 0, err
	}
	begun := time.Now()
	errs := make([]error, len(others))
	var writers sync.WaitGroup
	for i, m := range others {
		writers.Go(func() { errs[i] = m.writes(ctx, next) })
	}
	writers.Wait()
	took := time.Since(begun)
	stop()
	workloads.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	return took, leader.start("run")
}

// writes creates an entry; a client tries again as long as it is told to.
func (m *member) writes(ctx context.Context, next *atomic.Int64) error {
	return m.eventually(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, writeTryWithin)
		defer cancel()
		return oneEntry(ctx, m.api, int(next.Add(1)))
	})
}

// issue fetches X.509-SVIDs and JWT-SVIDs from the node, in turn, until ctx ends.
func (m *member) issue(ctx context.Context, issued, failed *atomic.Int64) {
	tick := time.NewTicker(issueEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := m.fetch(ctx, n%2 == 0); err == nil {
			issued.Add(1)
		} else if ctx.Err() == nil {
			failed.Add(1)
			fmt.Fprintf(os.Stderr, "an SVID of %s: %v\n", m.name, err)
		}
	}
}

func (m *member) fetch(ctx context.Context, jwt bool) error {
	ctx, cancel := context.WithTimeout(ctx, issueWithin)
	defer cancel()
	if !jwt {
		_, err := fetchOnce(ctx, m.socket())
		return err
	}
	api, err := workloadapi.New(ctx, workloadapi.WithAddr("unix://"+m.socket()))
	if err != nil {
		return err
	}
	defer api.Close()
	_, err = api.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "bench"})
	return err
}
