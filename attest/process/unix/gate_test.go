package unix_test

import (
	"context"
	"errors"
	"testing"

	"github.com/concord-id/concord/attest/process/unix"
)

func TestOneUsersHungProgramsHoldUpNobodyElse(t *testing.T) {
	gate := unix.NewGate()
	var leave func()
	for range unix.PerUser {
		var err error
		if leave, err = unix.Enter(gate, t.Context(), 1); err != nil {
			t.Fatal(err)
		}
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
	leave()
	if again, err := unix.Enter(gate, t.Context(), 1); err != nil {
		t.Errorf("after one has left: %v", err)
	} else {
		again()
	}
}
