// Command crash ends a node over and over while many write to it, and holds
// what it shows afterwards against what they were told: nothing acknowledged
// may be lost, nothing refused may be there, and what was never answered is
// there whole or not at all.
//
// A kill ends the process and leaves what it wrote to the kernel; a cut takes
// away what it has not synced, too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/concord-id/concord/tests/edited"
)

func main() {
	kills := flag.Int("kills", 200, "how often a node is killed")
	cuts := flag.Int("cuts", 0, "how often a node's power is cut (needs FUSE)")
	seed := flag.Uint64("seed", 1, "of everything that is random here")
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *root, *kills, *cuts, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

// run does what is asked for with the node as it ships, and with one that takes
// snapshots all the time, in turns.
func run(ctx context.Context, out io.Writer, root string, kills, cuts int, seed uint64) (err error) {
	dir, err := os.MkdirTemp("", "c") // short: sockets are in it
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	shipped, busy := filepath.Join(dir, "concord"), filepath.Join(dir, "hasty")
	fmt.Fprintln(out, "building")
	if err := errors.Join(edited.Build(ctx, root, shipped), edited.Build(ctx, root, busy, hasty...)); err != nil {
		return err
	}
	programs := [][]string{{shipped}, {busy}}
	if kills > 0 {
		c := newCampaign(out, "kill", seed, solid(dir), programs...)
		err = errors.Join(c.kills(ctx, kills), c.sum())
	}
	if cuts > 0 {
		err = errors.Join(err, cutPower(ctx, out, cuts, seed, programs...))
	}
	return err
}

// cutPower lets a node live on a disk that loses its power.
func cutPower(ctx context.Context, out io.Writer, cuts int, seed uint64, programs ...[]string) error {
	disk, err := layThin(rand.New(rand.NewPCG(seed, 99)))
	if err != nil {
		return err
	}
	c := newCampaign(out, "cut", seed, disk, programs...)
	return errors.Join(c.cuts(ctx, cuts, disk), c.sum(), disk.remove())
}
