package unix_test

import (
	"context"
	"errors"
	"testing"

	"github.com/concord-id/concord/attest/process/unix"
)

func TestOneUsersHungProgramsHoldUpNobodyElse(t *testing.T) {
	gate := unix.NewGate()
	var inside []func()
	for range unix.PerUser {
		leave, err := unix.Enter(gate, t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		inside = append(inside, leave)
	}
	if other, err := unix.Enter(gate, t.Context(), 2); err != nil {
		t.Errorf("another user: %v", err)
	} else {
		other()
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() { _, err := unix.Enter(gate, ctx, 1); waited <- err }()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("one too many of the same user: %v", err)
	}
	for _, leave := range inside {
		leave()
	}
	if again, err := unix.Enter(gate, t.Context(), 1); err != nil {
		t.Errorf("after they have left: %v", err)
	} else {
		again()
	}
	if n := unix.Lanes(gate); n != 0 {
		t.Errorf("%d users are remembered with nobody inside", n)
	}
}
