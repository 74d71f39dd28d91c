package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	fiveMinutes = 5 * 60
	oneDay      = 24 * 60 * 60
)

var clockFaults = []fault{
	{group: "clock", name: "clock-5m", what: "a clock is set 5 minutes ahead or back", clock: true, do: atAny(setWrong(fiveMinutes))},
	{group: "clock", name: "clock-day", what: "a member's clock is set a day ahead or back", clock: true, do: atFollower(setWrong(oneDay))},
	{group: "clock", name: "clock-day-leader", what: "the leader's clock is set a day ahead or back", clock: true, do: atLeader(setWrong(oneDay))},
	{group: "clock", name: "drift", what: "a clock gains or loses a second each 100 ms", clock: true, light: true, do: atAny(drift)},
}

// wrongTime is how long a clock is wrong: turns of authorities come within it.
func wrongTime(random *rand.Rand) time.Duration { return between(random, 3*time.Second, 8*time.Second) }

func setWrong(seconds int) func(context.Context, *campaign, *rand.Rand, *machine) error {
	return func(ctx context.Context, _ *campaign, random *rand.Rand, m *machine) error {
		if random.IntN(2) == 0 {
			seconds = -seconds
		}
		err := m.setClock(seconds)
		pause(ctx, wrongTime(random))
		return errors.Join(err, m.setClock(0))
	}
}

func drift(ctx context.Context, _ *campaign, random *rand.Rand, m *machine) error {
	sign := 1 - 2*random.IntN(2)
	end := time.Now().Add(wrongTime(random))
	for second := 1; time.Now().Before(end) && ctx.Err() == nil; second++ {
		if err := m.setClock(sign * second); err != nil {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
	return m.setClock(0)
}
