// Command demo is Concord's main job, driven by a program and seen by a person:
// two organizations, each with its own trust domain, let their workloads speak
// to each other, turn a key while they do, and refuse who must be refused. With
// --ha one of them is a cluster of three nodes, which are killed, restarted and
// replaced while the workloads speak.
//
// It starts real nodes and real workloads on loopback, says what it verified
// at each step, cleans up, and exits 1 naming the step that failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// limit bounds the whole demonstration; each step has less.
const limit = 3 * time.Minute

// options are what a person chooses.
type options struct {
	concord, workload string
	up, ha, keep      bool
}

func main() {
	var o options
	flag.StringVar(&o.concord, "concord", "bin/concord", "the concord binary")
	flag.StringVar(&o.workload, "workload", "bin/demo-workload", "the workload binary")
	flag.BoolVar(&o.up, "up", false, "stop after federation, leave both domains running until Ctrl-C")
	flag.BoolVar(&o.ha, "ha", false, "the story of a cluster that loses nodes")
	flag.BoolVar(&o.keep, "keep", false, "keep the working directory")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, o))
}

func run(ctx context.Context, o options) int {
	story := "demo"
	if o.ha {
		story = "demo-ha"
	}
	s, err := newStage(story, o.concord, o.workload)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", story, err)
		return 1
	}
	if !o.keep {
		defer os.RemoveAll(s.dir)
	}
	defer s.stopAll()

	switch {
	case o.up:
		d := newDemo(s)
		if !play(ctx, s, 0, d, everyStep[:stepsUntilFederated]) {
			return 1
		}
		return d.stay(ctx)
	case o.ha:
		h := newHA(s)
		defer h.close()
		return tell(ctx, s, h, everyStepHA)
	}
	return tell(ctx, s, newDemo(s), everyStep)
}

// tell plays a whole story and returns the exit status.
func tell[S any](ctx context.Context, s *stage, story S, steps []step[S]) int {
	if !play(ctx, s, limit, story, steps) {
		return 1
	}
	fmt.Printf("\n%s: %d steps verified, 0 failed\n", s.story, len(steps))
	return 0
}

// demo is the story of two organizations.
type demo struct {
	*stage
	acme, bank *domain

	api, ledger        *workload // the callees: acme's api, bank's ledger
	web, teller        string    // the callers' programs: acme's web, bank's teller
	holder             *workload // bank's teller with an SVID that it kept
	fromAcme, fromBank *workload // traffic, one each way
	turned             string    // bank's X.509 authority before it turned
}

func newDemo(s *stage) *demo {
	return &demo{stage: s, acme: s.domain("acme.example", "acme"), bank: s.domain("bank.example", "bank")}
}
