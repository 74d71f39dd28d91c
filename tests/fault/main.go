// Package main does to a cluster what machines, disks, clocks and networks do to
// one, at random and for as long as it is told, while everybody works with it;
// and then looks at all that was seen for what must never be. Its nodes are
// processes in network namespaces, on disks that it makes fail.
//
//	go run ./tests/fault -t 10m -seed 1
//	go run ./tests/fault -t 1m -seed 1 -only disk,kill-leader
//
// The history is kept, and can be looked at again:
//
//	go run ./tests/fault -check fault-1/history.jsonl
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/concord-id/concord/tests/fault/history"
)

// options are what a campaign is asked for.
type options struct {
	time time.Duration
	seed uint64
	keep string // directory for the history and the nodes' logs
	root string // the repository
	only string // groups and faults, with commas between; "": all
	out  io.Writer
}

func main() {
	o := options{out: os.Stdout}
	flag.DurationVar(&o.time, "t", 10*time.Minute, "how long faults are injected")
	flag.Uint64Var(&o.seed, "seed", 1, "of which faults come, when and for how long")
	flag.StringVar(&o.keep, "keep", "", "directory for the history and the nodes' logs (default fault-SEED)")
	flag.StringVar(&o.root, "root", ".", "the repository")
	flag.StringVar(&o.only, "only", "", "only these groups (process, network, disk, clock, membership, load) and faults, with commas between")
	list := flag.Bool("list", false, "print the faults and end")
	check := flag.String("check", "", "a kept history to look at again, instead of a campaign")
	flag.Parse()
	if o.keep == "" {
		o.keep = fmt.Sprint("fault-", o.seed)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case *list:
		printFaults(os.Stdout)
	case *check != "":
		err = recheck(os.Stdout, *check)
	default:
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fault:", err)
		os.Exit(1)
	}
}

// run makes a campaign and says what came of it.
func run(ctx context.Context, o options) error {
	if err := os.MkdirAll(o.keep, 0o700); err != nil {
		return err
	}
	c, err := newCampaign(ctx, o)
	if err != nil {
		return err
	}
	err = c.run(ctx)
	err = errors.Join(err, c.close())
	if err != nil {
		return fmt.Errorf("the campaign did not come to its end: %w (the history so far and the nodes' logs are in %s)", err, o.keep)
	}
	return c.sum()
}

// recheck looks at a history that was kept.
func recheck(out io.Writer, file string) error {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return err
	}
	defer f.Close()
	events, err := history.ReadAll(f)
	if err != nil {
		return err
	}
	return report(out, events)
}
