package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

const (
	// callsEach is how many calls a second each caller makes, and leastCalls how many
	// are made at least each way.
	callsEach  = 10
	leastCalls = 20
	// writesBack is how soon after the leader's death a write must be acknowledged.
	writesBack = 4 * time.Second
)

// caller is a workload that calls across the border all the time.
type caller struct {
	*workload
	way   string // "bank → acme"
	told  report // what it has said so far
	begun time.Time
}

// phase is a part of the story, in figures.
type phase struct {
	name                     string
	calls, failed            int
	last                     string // what a call failed with
	issuance, writes, bundle window // of the nodes that were to be up
	back                     time.Duration
}

// call starts a workload that calls another one, until the end.
func (h *ha) call(ctx context.Context, way, program string, home *domain, callee *workload) error {
	w, err := h.startWorkload(ctx, program, "traffic", home.workloadSocket(), callee.address, callee.id, fmt.Sprint(callsEach))
	if err != nil {
		return err
	}
	h.callers = append(h.callers, &caller{workload: w, way: way, begun: time.Now()})
	return nil
}

// during performs a part of the story and counts the calls that were made meanwhile.
func (h *ha) during(ctx context.Context, name string, do func(*phase) error) error {
	p := &phase{name: name}
	if err := h.tally(ctx, &h.between); err != nil {
		return err
	}
	if err := do(p); err != nil {
		return err
	}
	if err := h.tally(ctx, p); err != nil {
		return err
	}
	h.phases = append(h.phases, p)
	return p.verify()
}

// tally has the callers say how their calls went since the last time.
func (h *ha) tally(ctx context.Context, p *phase) error {
	for _, c := range h.callers {
		if _, err := fmt.Fprintln(c.stdin); err != nil {
			return fmt.Errorf("ask %s how its calls go: %w", c.name, err)
		}
		now, err := c.next(ctx, "traffic")
		if err != nil {
			return err
		}
		p.add(c, now)
	}
	return nil
}

// add counts what c has done since it last said so.
func (p *phase) add(c *caller, now report) {
	p.calls += now.Calls - c.told.Calls
	if failed := now.Calls - now.Successes - (c.told.Calls - c.told.Successes); failed > 0 {
		p.failed += failed
		p.last = c.way + ": " + now.Error
	}
	c.told = now
}

// survey adds what the probes of the nodes saw that were up all the time.
func (p *phase) survey(from time.Time, up []*member) {
	to := time.Now()
	for _, m := range up {
		p.issuance = p.issuance.and(m.probes.issuance.during(from, to))
		p.writes = p.writes.and(m.probes.writes.during(from, to))
		p.bundle = p.bundle.and(m.probes.bundle.during(from, to))
	}
}

// verify says how the phase went; a call that failed fails it.
func (p *phase) verify() error {
	if p.failed > 0 {
		return fmt.Errorf("%d of %d mTLS calls failed, one %s", p.failed, p.calls, p.last)
	}
	verified("mTLS: %d calls, 0 failed", p.calls)
	for _, seen := range []struct {
		what string
		w    window
	}{{"JWT-SVIDs of the nodes that were up", p.issuance}, {"their bundle endpoints", p.bundle}} {
		if seen.w.failed > 0 {
			note("%s: %d of %d requests failed, the last with: %v", seen.what, seen.w.failed, seen.w.calls, seen.w.err)
		} else {
			verified("%s: %d requests, 0 failed, longest gap %s", seen.what, seen.w.calls, milliseconds(seen.w.gap))
		}
	}
	if p.writes.failed > 0 {
		note("writes: %d acknowledged, %d not, the last with: %v", p.writes.calls-p.writes.failed, p.writes.failed, p.writes.err)
	}
	return nil
}

// table prints the phases, and their sum.
func (h *ha) table() *phase {
	sum := &phase{name: "all"}
	rows := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(rows, "\tmTLS\t\tJWT-SVIDs\t\t\twrites\t\t\tbundle\t\t\t")
	fmt.Fprintln(rows, "\tcalls\tfailed\tcalls\tfailed\tgap\tcalls\tfailed\tgap\tcalls\tfailed\tgap\t")
	for _, p := range append(slices.Clone(h.phases), &h.between) {
		sum.calls, sum.failed = sum.calls+p.calls, sum.failed+p.failed
		sum.issuance, sum.writes, sum.bundle = sum.issuance.and(p.issuance), sum.writes.and(p.writes), sum.bundle.and(p.bundle)
		sum.back, sum.last = max(sum.back, p.back), cmp.Or(p.last, sum.last)
		p.row(rows)
	}
	sum.row(rows)
	rows.Flush()
	return sum
}

func (p *phase) row(rows *tabwriter.Writer) {
	fmt.Fprintf(rows, "%s\t%d\t%d\t", p.name, p.calls, p.failed)
	for _, w := range []window{p.issuance, p.writes, p.bundle} {
		if w.calls == 0 {
			fmt.Fprint(rows, "\t\t\t")
			continue
		}
		fmt.Fprintf(rows, "%d\t%d\t%s\t", w.calls, w.failed, milliseconds(w.gap))
	}
	fmt.Fprintln(rows)
}
