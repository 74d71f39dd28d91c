// Command demo is Concord's main job, driven by a program and seen by a person:
// two organizations, each with its own trust domain, let their workloads speak
// to each other, turn a key while they do, and refuse who must be refused.
//
// It starts real nodes and real workloads on loopback, says what it verified
// at each step, cleans up, and exits 1 naming the step that failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// limit bounds the whole demonstration; each step has less.
const limit = 3 * time.Minute

func main() {
	concord := flag.String("concord", "bin/concord", "the concord binary")
	workload := flag.String("workload", "bin/demo-workload", "the workload binary")
	up := flag.Bool("up", false, "stop after federation, leave both domains running until Ctrl-C")
	keep := flag.Bool("keep", false, "keep the working directory")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, *concord, *workload, *up, *keep))
}

func run(ctx context.Context, concord, workload string, up, keep bool) int {
	d, err := newDemo(concord, workload)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	if !keep {
		defer os.RemoveAll(d.dir)
	}
	defer d.stopAll()

	steps := everyStep
	if up {
		steps = everyStep[:stepsUntilFederated]
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("the demonstration took longer than %s", limit))
		defer cancel()
	}
	for i, s := range steps {
		if err := d.perform(ctx, i+1, s); err != nil {
			fmt.Printf("\ndemo: step %d (%s) failed: %v\n", i+1, s.name, err)
			d.showLogs()
			fmt.Printf("demo: %d steps verified, 1 failed\n", i)
			return 1
		}
	}
	if up {
		return d.stay(ctx)
	}
	fmt.Printf("\ndemo: %d steps verified, 0 failed\n", len(steps))
	return 0
}

// step is a part of the story, with what it verified.
type step struct {
	name string
	do   func(ctx context.Context, d *demo) error
}

// perform runs a step; a node or workload that ends by itself meanwhile ends
// the step too.
func (d *demo) perform(ctx context.Context, number int, s step) error {
	fmt.Printf("\n%d. %s\n", number, s.name)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case err := <-d.died:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err := s.do(ctx, d)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (seen as: %v)", cause, err)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	cancel(nil)
	<-watching
	return err
}

// verified says what has just been seen to hold.
func verified(format string, args ...any) { fmt.Printf("   ✓ "+format+"\n", args...) }

// note says what happens.
func note(format string, args ...any) { fmt.Printf("   · "+format+"\n", args...) }

// refused says who was refused, and in whose words.
func refused(who, words string) { fmt.Printf("   ✗ refused: %s\n       %s\n", who, words) }

// demo is what is running.
type demo struct {
	dir      string
	concord  string
	workload string

	acme, bank *domain
	running    []*process
	died       chan error // a process that nobody asked to end

	api, ledger        *workload // the callees: acme's api, bank's ledger
	web, teller        string    // the callers' programs: acme's web, bank's teller
	holder             *workload // bank's teller with an SVID that it kept
	fromAcme, fromBank *workload // traffic, one each way
	turned             string    // bank's X.509 authority before it turned
}

func newDemo(concord, workload string) (*demo, error) {
	for _, binary := range []*string{&concord, &workload} {
		absolute, err := filepath.Abs(*binary)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(absolute); err != nil {
			return nil, fmt.Errorf("%w: run `make build` first, or `make demo`, which does", err)
		}
		*binary = absolute
	}
	// Short, because a socket's path may have 108 bytes.
	dir, err := os.MkdirTemp("", "concord-demo-")
	if err != nil {
		return nil, err
	}
	// Workloads of any user must reach the sockets.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	d := &demo{dir: dir, concord: concord, workload: workload, died: make(chan error, 1)}
	d.acme = &domain{demo: d, name: "acme.example", dir: filepath.Join(dir, "acme")}
	d.bank = &domain{demo: d, name: "bank.example", dir: filepath.Join(dir, "bank")}
	return d, nil
}
