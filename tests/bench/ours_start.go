package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const (
	starts     = 9
	startLimit = time.Second
)

// coldStart measures from the start of the node's process, on a data directory
// that a killed node left, to a workload's first SVID. Its floor is the start
// of the same binary that only prints its version.
func coldStart(ctx context.Context) (seen result, err error) {
	r, err := startNode(ctx, nil)
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(r.dir)
	if err := errors.Join(r.register(ctx), r.node.Stop()); err != nil {
		return result{}, err
	}
	binary, err := filepath.Abs("bin/concord")
	if err != nil {
		return result{}, err
	}
	var floors, ours []time.Duration
	for range starts {
		begun := time.Now()
		if err := exec.CommandContext(ctx, binary, "--version").Run(); err != nil {
			return result{}, err
		}
		floors = append(floors, time.Since(begun))
		took, err := oneStart(ctx, binary, r)
		if err != nil {
			return result{}, err
		}
		ours = append(ours, took)
	}
	worst := slices.Max(ours)
	slices.Sort(floors)
	slices.Sort(ours)
	return result{
		floor: milliseconds(floors[starts/2]), ours: milliseconds(ours[starts/2]),
		ratio: fmt.Sprintf("worst %s", milliseconds(worst)), met: worst < startLimit,
	}, nil
}

// oneStart starts the node, waits for an SVID and kills it.
func oneStart(ctx context.Context, binary string, r *running) (time.Duration, error) {
	begun := time.Now()
	cmd := exec.CommandContext(ctx, binary, "node", "run", "--data-dir", r.socket(""), "--node-name", "n", "--log-level", "error",
		"--listen-api", "127.0.0.1:0", "--listen-bundle", "127.0.0.1:0", "--listen-raft", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0")
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	for {
		_, err := fetchOnce(ctx, r.socket("workload.sock"))
		if err == nil {
			return time.Since(begun), nil
		}
		if time.Since(begun) > 20*time.Second {
			return 0, fmt.Errorf("no SVID within 20 s: %w", err)
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func fetchOnce(ctx context.Context, socket string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	api, err := workloadapi.New(ctx, workloadapi.WithAddr("unix://"+socket))
	if err != nil {
		return "", err
	}
	defer api.Close()
	svid, err := api.FetchX509SVID(ctx)
	if err != nil {
		return "", err
	}
	return svid.ID.String(), nil
}
