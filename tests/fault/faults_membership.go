package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/fault/history"
)

var membershipFaults = []fault{
	{group: "membership", name: "add-remove", what: "a fourth member joins, is removed, and comes back with what it kept", do: everywhere(comeAndGo)},
	{group: "membership", name: "replace", what: "a member is removed while it serves, and joins anew", do: atAny(removeServing)},
	{group: "membership", name: "kill-in-join", what: "the leader is killed while a member joins", do: atLeader(killInJoin)},
	{group: "membership", name: "lose-two", what: "two of three are lost, and come back", do: atAny(loseTwo)},
	{group: "membership", name: "transfer", what: "the leadership is given away, several times", light: true, do: everywhere(transfer)},
	{group: "membership", name: "upgrade", what: "all are given another version, one by one, and then the old one again", version: true, do: everywhere(upgrade)},
}

const adminTime = 20 * time.Second

// remove takes a member out, asked at other ones.
func (c *campaign) remove(ctx context.Context, m *machine) (err error) {
	others := c.others(m)
	for attempt := range 6 {
		ask, cancel := context.WithTimeout(ctx, adminTime)
		err = others[attempt%len(others)].door.do(ask, call{method: http.MethodDelete, path: client.Path("cluster", "members", m.name)})
		cancel()
		if err == nil || outcome(err) == "not_found" {
			return nil
		}
		pause(ctx, time.Second)
	}
	return fmt.Errorf("remove %s: %w", m.name, err)
}

func comeAndGo(ctx context.Context, c *campaign, random *rand.Rand) (err error) {
	host, err := c.wire.Host(byte(10 + c.injected["add-remove"]))
	if err != nil {
		return err
	}
	fourth, err := newMachine(byte(10+c.injected["add-remove"]), host, c.dir, c.o.keep, c.programs.shipped, c.rec, random)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fourth.close()) }()
	defer fourth.excuse()()
	via := c.any(random)
	if err := c.admit(ctx, via, fourth); err != nil {
		return err
	}
	pause(ctx, between(random, 0, 3*time.Second))
	if err := c.remove(ctx, fourth); err != nil {
		return err
	}
	l := fourth.current()
	select {
	case <-l.ended:
	case <-time.After(upTime):
		c.rec.wrong(gone, "%s was removed and goes on", fourth.name)
	}
	fourth.kill()
	if err := fourth.run(ctx); err == nil || !fourth.current().said.has("was removed from the cluster") {
		c.rec.wrong(gone, "%s was removed and came back: %v; it said %s", fourth.name, err, fourth.current().said.tail(3))
	}
	return nil
}

// gone is the invariant about those who were removed.
const gone = "a removed member is out"

// removeServing removes a member that is well. It must end by itself.
func removeServing(ctx context.Context, c *campaign, _ *rand.Rand, m *machine) error {
	defer m.excuse()()
	l := m.current()
	if err := c.remove(ctx, m); err != nil {
		return err
	}
	select {
	case <-l.ended:
	case <-time.After(upTime):
		c.rec.wrong(gone, "%s was removed and goes on", m.name)
	}
	return c.replace(ctx, m)
}

// killInJoin replaces a member, and kills the leader while it joins.
func killInJoin(ctx context.Context, c *campaign, random *rand.Rand, leader *machine) error {
	joining := c.others(leader)[random.IntN(len(c.others(leader)))]
	defer joining.excuse()()
	if err := c.forget(ctx, joining); err != nil {
		return err
	}
	var made client.Outcome[client.JoinToken]
	err := leader.door.do(ctx, call{method: http.MethodPost, path: client.Path("cluster", "tokens"), in: client.NewJoinToken{Name: joining.name, TTL: client.Duration(time.Hour)}, out: &made})
	if err != nil {
		return err
	}
	l, err := joining.begin(made.After.Token, "node", "join", "-")
	if err != nil {
		return err
	}
	pause(ctx, between(random, 0, 1500*time.Millisecond))
	leader.kill()
	pause(ctx, downTime(random))
	if err := leader.run(ctx); err != nil {
		return err
	}
	select {
	case <-l.up:
		return nil
	case <-l.ended: // joining again with the same token does no harm
		return joining.join(ctx, made.After.Token)
	case <-time.After(upTime):
		return fmt.Errorf("%s does not join: %s", joining.name, l.said.tail(5))
	}
}

// forget takes a member out and empties its machine.
func (c *campaign) forget(ctx context.Context, m *machine) error {
	m.kill()
	if err := m.replug(emptied); err != nil {
		return err
	}
	return c.remove(ctx, m)
}

func loseTwo(ctx context.Context, c *campaign, random *rand.Rand, m *machine) error {
	lost := c.others(m)
	for _, o := range lost {
		o.kill()
	}
	pause(ctx, between(random, time.Second, 4*time.Second))
	for _, o := range lost {
		if _, err := o.begin("", "node", "run"); err != nil {
			return err
		}
	}
	return nil
}

func transfer(ctx context.Context, c *campaign, random *rand.Rand) error {
	for range 3 {
		to := c.any(random)
		ask, cancel := context.WithTimeout(ctx, adminTime)
		// It may be refused: there may be nobody to give it.
		_ = c.any(random).door.do(ask, call{method: http.MethodPost, path: client.Path("cluster", "transfer"), query: url.Values{"to": {to.name}}})
		cancel()
		pause(ctx, between(random, 200*time.Millisecond, time.Second))
	}
	return nil
}

func upgrade(ctx context.Context, c *campaign, random *rand.Rand) error {
	for _, program := range []string{c.programs.hasty, c.programs.shipped} {
		for _, i := range random.Perm(len(c.machines)) {
			if err := c.renew(ctx, c.machines[i], program); err != nil {
				return err
			}
		}
		c.rec.add(history.Event{Kind: history.Fault, Group: "membership", Op: "all have " + program})
	}
	return nil
}
