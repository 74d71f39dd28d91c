package main

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

func TestAKilledNodeLosesNothing(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	c := newCampaign(said{t}, "kill", 1, solid(dir), shipped(t), snapping(t))
	try(t, c.kills(t.Context(), 10))
	try(t, c.sum())
	snapshots, err := filepath.Glob(filepath.Join(dir, "d", "private", "raft", "snapshots", "*.snapshot"))
	if err != nil || len(snapshots) == 0 {
		t.Errorf("no snapshot was ever taken: %v", err)
	}
}

func TestAPowerCutLosesNothing(t *testing.T) {
	t.Parallel()
	g := onDisk(t)
	g.random = rand.New(rand.NewPCG(1, 99))
	c := newCampaign(said{t}, "cut", 1, g, shipped(t), snapping(t))
	try(t, c.cuts(t.Context(), 6, g))
	try(t, c.sum())
}

// A kill does not show it: the kernel has the pages. So the campaign that cuts
// the power must, by what is lost, by a log that cannot be read any more, or by
// one that ends before what the audit trail has seen.
func TestANodeThatDoesNotSyncIsCaught(t *testing.T) {
	t.Parallel()
	g := onDisk(t)
	var printed strings.Builder
	c := newCampaign(&printed, "cut", 1, g, unsynced(t))
	err := errors.Join(c.cuts(t.Context(), 4, g), c.sum())
	caught := err != nil && (strings.Contains(err.Error(), "damaged") || strings.Contains(err.Error(), "a part of the log is missing"))
	for _, w := range c.wrong {
		caught = caught || strings.Contains(w, "was acknowledged and is gone")
	}
	if !caught || c.acknowledged.Load() == 0 {
		t.Errorf("it was not caught: %v\n%s", err, printed.String())
	}
}
