package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
)

func sumUp(ctx context.Context, h *ha) error {
	for _, m := range h.members {
		m.unwatch()
	}
	if err := h.verifyWrites(ctx); err != nil {
		return err
	}
	if err := waitActive(ctx, h.bank, h.members[0].domain); err != nil {
		return err
	}
	rates, err := h.endTraffic(ctx)
	if err != nil {
		return err
	}
	sum := h.table()
	if sum.failed > 0 {
		return fmt.Errorf("%d of %d mTLS calls failed, one %s", sum.failed, sum.calls, sum.last)
	}
	for _, way := range []string{"bank → acme", "acme → bank"} {
		if rates[way] < leastCalls {
			return fmt.Errorf("%s: %.1f calls a second, want at least %d", way, rates[way], leastCalls)
		}
		verified("%s: %.1f calls a second, 0 failed", way, rates[way])
	}
	verified("longest gaps of nodes that were up: JWT-SVIDs %s, writes %s, bundle endpoint %s", milliseconds(sum.issuance.gap), milliseconds(sum.writes.gap), milliseconds(sum.bundle.gap))
	verified("writes were back %s after the leader was killed; %d were not acknowledged", milliseconds(sum.back), sum.writes.failed)
	return nil
}

// verifyWrites verifies that every member has every write that was acknowledged,
// and that all have the same state.
func (h *ha) verifyWrites(ctx context.Context) error {
	done := h.writes.all()
	for _, m := range h.members {
		list, err := m.entries(ctx)
		if err != nil {
			return err
		}
		there := make(map[string]bool, len(list))
		for _, e := range list {
			there[e.SPIFFEID] = true
		}
		for _, id := range done {
			if !there[id] {
				return fmt.Errorf("the creation of %s was acknowledged, and %s does not have it", id, m.as)
			}
		}
	}
	verified("all %d writes that were acknowledged are there, at each of %d nodes", len(done), len(h.members))
	return eventually(ctx, 10*time.Second, func(ctx context.Context) error {
		c, err := h.members[0].cluster(ctx)
		if err != nil {
			return err
		}
		first := c.Members[0]
		if slices.ContainsFunc(c.Members, func(m client.ClusterMember) bool { return m.Digest == "" || m.Digest != first.Digest }) {
			return errors.New("the nodes' states differ")
		}
		verified("their states are the same: %.12s… at log index %d", first.Digest, first.Applied)
		return nil
	})
}

// endTraffic ends the callers and returns the calls a second each way.
func (h *ha) endTraffic(ctx context.Context) (map[string]float64, error) {
	h.between.name = "in between"
	rates := map[string]float64{}
	var begun time.Time // of the first caller
	for _, c := range h.callers {
		c.expectEnd()
		if err := c.stdin.Close(); err != nil {
			return nil, err
		}
		total, err := c.next(ctx, "traffic")
		if err != nil {
			return nil, err
		}
		h.between.add(c, total)
		rates[c.way] += float64(total.Calls)
		if begun.IsZero() || c.begun.Before(begun) {
			begun = c.begun
		}
	}
	for way := range rates {
		rates[way] /= time.Since(begun).Seconds()
	}
	return rates, nil
}
