// Command bench prints how fast Concord is beside a floor measured in the same
// run: the least that any program would have to do for the same result.
// Machines differ and are noisy; it is the ratio that counts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

// row is one line of the table.
type row struct {
	group string
	name  string
	aim   string
	run   func(ctx context.Context) (result, error)
}

// none stands for an aim where there is none.
const none = "–"

// result is what was measured.
type result struct {
	floor, ours string
	ratio       string
	met         bool
}

var rows = []row{
	{"issue", "X.509-SVIDs a second, in process", "≥ 70 %", rate(floorX509, oursX509, 70)},
	{"issue", "JWT-SVIDs a second, in process", "≥ 80 %", rate(floorJWT, oursJWT, 80)},
	{"grpc", "X.509-SVIDs a second, over gRPC", "≥ 85 %", rate(floorX509Call, oursX509Call, 85)},
	{"grpc", "JWT-SVIDs a second, over gRPC", "≥ 85 %", rate(floorJWTCall, oursJWTCall, 85)},
	{"endpoint", "bundle endpoint, GETs a second, warm TLS", "≥ 90 %", rate(floorEndpoint, oursEndpoint, 90)},
	{"endpoint", "the same, 304 when unchanged", "≥ 90 %", rate(floorNotModified, oursNotModified, 90)},
	{"push", "change → last of 4,000 streams, p99", "≤ 1.5 ×", push},
	{"federation", "10,000 peers, unchanged, a 60 s hint", "< 15 % core", peersRow},
	{"entries", "1,000,000 entries", "< 2 GiB", entries},
	{"start", "cold start → a workload's first SVID", "< 1 s", coldStart},
	{"cluster", "three nodes: entries a second, in batches", "≥ 1,000/s", writes(batched, true, writesLeast)},
	{"cluster", "the same, by a follower", "≥ 1,000/s", writes(batched, false, writesLeast)},
	{"cluster", "one by one, 64 clients, at the leader", none, writes(oneByOne, true, 0)},
	{"cluster", "the same, by a follower", none, writes(oneByOne, false, 0)},
	{"cluster", "restart with 100,000 entries, all three", "< 5 s", restart},
	{"cluster", "leader killed, 50 times: writes back", "< 2 s, 4 s", leaderKilled},
}

func main() {
	group := flag.String("group", "", "measure only this group: issue, grpc, endpoint, push, federation, entries, start, cluster")
	which := flag.String("part", "", "be one part of a row: the rows use it")
	file := flag.String("file", "", "what --part reads or writes")
	profile := flag.String("profile", "", "write a CPU profile to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	do := func() error { return table(ctx, *group) }
	switch *which {
	case "write-entries":
		do = func() error { return writeEntries(*file) }
	case "read-entries":
		do = func() error { return readEntries(*file) }
	case "peers":
		do = servePeers
	}
	if err := profiled(*profile, do); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// profiled runs do, and writes a CPU profile of it if a file is named.
func profiled(file string, do func() error) error {
	if file == "" {
		return do()
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer out.Close()
	defer pprof.StopCPUProfile()
	return do()
}

func table(ctx context.Context, group string) error {
	fmt.Printf("%-42s %12s %12s %9s %9s\n", "what", "floor", "ours", "ratio", "aim")
	missed, measured := 0, 0
	for _, r := range rows {
		if group != "" && r.group != group {
			continue
		}
		measured++
		seen, err := r.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		verdict := "met"
		switch {
		case r.aim == none:
			verdict = ""
		case !seen.met:
			verdict = "MISSED"
			missed++
		}
		fmt.Printf("%-42s %12s %12s %9s %9s  %s\n", r.name, seen.floor, seen.ours, seen.ratio, r.aim, verdict)
	}
	if measured == 0 {
		return fmt.Errorf("there is no group %q", group)
	}
	fmt.Printf("\n%d rows, %d met, %d missed\n", measured, measured-missed, missed)
	return nil
}

// workloadUnderTest is something that can be done over and over; close ends it.
type workloadUnderTest struct {
	once  func() error
	close func() error
}

type prepare func(ctx context.Context) (workloadUnderTest, error)

const (
	rounds   = 7
	aRound   = 700 * time.Millisecond
	warmUp   = 150 * time.Millisecond
	unitRate = "/s"
)

// rate measures floor and ours in turns, so that both see the same machine,
// and compares the medians of their rounds.
func rate(floor, ours prepare, aim float64) func(context.Context) (result, error) {
	return func(ctx context.Context) (seen result, err error) {
		base, err := floor(ctx)
		if err != nil {
			return result{}, fmt.Errorf("floor: %w", err)
		}
		defer func() { err = errors.Join(err, base.close()) }()
		mine, err := ours(ctx)
		if err != nil {
			return result{}, err
		}
		defer func() { err = errors.Join(err, mine.close()) }()

		var floors, own []float64
		for i := range rounds {
			pair := []struct {
				w  workloadUnderTest
				to *[]float64
			}{{base, &floors}, {mine, &own}}
			if i%2 == 1 {
				slices.Reverse(pair)
			}
			for _, p := range pair {
				perSecond, err := measure(ctx, p.w)
				if err != nil {
					return result{}, err
				}
				*p.to = append(*p.to, perSecond)
			}
		}
		a, b := median(floors), median(own)
		percent := 100 * b / a
		return result{
			floor: fmt.Sprintf("%.0f%s", a, unitRate), ours: fmt.Sprintf("%.0f%s", b, unitRate),
			ratio: fmt.Sprintf("%.1f %%", percent), met: percent >= aim,
		}, nil
	}
}

func measure(ctx context.Context, w workloadUnderTest) (perSecond float64, err error) {
	for begun := time.Now(); time.Since(begun) < warmUp; {
		if err := w.once(); err != nil {
			return 0, err
		}
	}
	begun, n := time.Now(), 0
	for time.Since(begun) < aRound && ctx.Err() == nil {
		if err := w.once(); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(begun).Seconds(), ctx.Err()
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// milliseconds formats a duration for the table.
func milliseconds(d time.Duration) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000), "")
}
