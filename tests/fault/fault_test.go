package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/tests/fault/wire"
)

// A short campaign, with what takes no build of its own. make fault makes long ones.
func TestAShortCampaignSeesNothingThatMustNeverBe(t *testing.T) {
	var said bytes.Buffer
	defer func() { t.Logf("\n%s", said.Bytes()) }()
	c, err := newCampaign(t.Context(), options{
		time: 15 * time.Second, seed: 1, keep: t.TempDir(), root: "../..", out: &said,
		only: "kill-leader,kill-all,power-cut,isolate-leader,one-way-out,loss,delay,sync-error,full,peers-roll-back,entries,transfer",
	})
	if errors.Is(err, wire.ErrNotAllowed) {
		t.Skip(wire.ErrNotAllowed)
	}
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(c.run(t.Context()), c.close())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.sum(); err != nil {
		t.Error(err)
	}
	if total(c.injected) < 4 || c.acknowledged.Load() < 200 || c.turner.turns == 0 {
		t.Errorf("it was no campaign: %v, %d acknowledged, %d turns", c.injected, c.acknowledged.Load(), c.turner.turns)
	}
}

func TestFaultsAreChosenByGroupAndName(t *testing.T) {
	for only, want := range map[string]int{"": len(everyFault()), "clock": len(clockFaults), "pause,roll": 2, "load,pause": len(loadFaults) + 1} {
		if got, err := (options{only: only}).chosen(); err != nil || len(got) != want {
			t.Errorf("%q: %d faults, %v", only, len(got), err)
		}
	}
	if _, err := (options{only: "earthquake"}).chosen(); err == nil || !strings.Contains(err.Error(), "earthquake") {
		t.Errorf("an unknown fault: %v", err)
	}
}
