package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
)

func killLeader(ctx context.Context, h *ha) error {
	return h.during(ctx, "the leader is killed", func(p *phase) error {
		leader, err := h.leader(ctx, h.members[0])
		if err != nil {
			return err
		}
		others := h.but(leader)
		leader.unwatch()
		killed := time.Now()
		if err := leader.node.kill(); err != nil {
			return err
		}
		note("%s leads, and is killed; it has no time to say so", leader.as)
		if p.back, err = writesReturn(ctx, killed, others); err != nil {
			return err
		}
		successor, err := h.leader(ctx, others[0])
		if err != nil {
			return err
		}
		verified("%s leads", successor.as)
		if err := h.refetched(ctx, killed, others[0]); err != nil {
			return err
		}
		if err := h.comesBack(ctx, leader, others[0]); err != nil {
			return err
		}
		p.survey(killed, others)
		return h.watch(ctx, leader)
	})
}

// writesReturn is how long after the leader's death writes were acknowledged through
// each of the nodes; it is an error if that took too long.
func writesReturn(ctx context.Context, killed time.Time, up []*member) (time.Duration, error) {
	var longest time.Duration
	for _, m := range up {
		took, err := m.writesAfter(ctx, killed)
		if err != nil {
			return 0, err
		}
		longest = max(longest, took)
		verified("a write through %s was acknowledged %s after the kill", m.as, milliseconds(took))
	}
	if longest >= writesBack {
		return 0, fmt.Errorf("writes were back %s after the kill, want under %s", milliseconds(longest), writesBack)
	}
	return longest, nil
}

// refetched waits until each domain has asked for the other's bundle since a moment,
// acme's side being asked at via. Whichever node of acme followed bank, one does.
func (h *ha) refetched(ctx context.Context, since time.Time, via *member) error {
	for _, pair := range [][2]*domain{{h.bank, via.domain}, {via.domain, h.bank}} {
		home, peer := pair[0], pair[1]
		var at time.Time
		err := eventually(ctx, 25*time.Second, func(ctx context.Context) error {
			r, err := ask[client.Relationship](ctx, home, "federation", "show", peer.name)
			if err == nil && (r.Status.State != "active" || !r.Status.LastSuccess.After(since)) {
				err = fmt.Errorf("%s follows %s: %q, last success at %s, %s", home.name, peer.name, r.Status.State, r.Status.LastSuccess.Format(time.TimeOnly), r.Status.LastError)
			}
			at = r.Status.LastSuccess
			return err
		})
		if err != nil {
			return err
		}
		verified("%s asked %s for its bundle again %s later, and had it", home.name, peer.name, at.Sub(since).Round(100*time.Millisecond))
	}
	return nil
}

// writesAfter is how long after a moment the first write through m was acknowledged
// that was begun after it.
func (m *member) writesAfter(ctx context.Context, moment time.Time) (time.Duration, error) {
	var took time.Duration
	err := eventually(ctx, 20*time.Second, func(context.Context) error {
		at, ok := m.probes.writes.successAfter(moment)
		if !ok {
			return fmt.Errorf("no write through %s is acknowledged", m.as)
		}
		took = at.Sub(moment)
		return nil
	})
	return took, err
}

// comesBack starts a node again, and waits until it has caught up.
func (h *ha) comesBack(ctx context.Context, m, via *member) error {
	begun := time.Now()
	if _, err := m.start(ctx); err != nil {
		return err
	}
	if err := h.caughtUp(ctx, m, via); err != nil {
		return err
	}
	h.lead()
	verified("%s is back: ready and caught up %s after its start", m.as, milliseconds(time.Since(begun)))
	return nil
}

func restartAll(ctx context.Context, h *ha) error {
	return h.during(ctx, "rolling restart", func(p *phase) error {
		for _, m := range h.members {
			if err := h.restart(ctx, p, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// restart stops a node as an upgrade would, and starts it again.
func (h *ha) restart(ctx context.Context, p *phase, m *member) error {
	others := h.but(m)
	leader, err := h.leader(ctx, others[0])
	if err != nil {
		return err
	}
	m.unwatch()
	begun := time.Now()
	if err := m.node.stop(); err != nil {
		return err
	}
	if leader == m {
		note("%s led: it handed the leadership over, and ended %s after SIGTERM", m.as, milliseconds(time.Since(begun)))
	} else {
		note("%s followed: it ended %s after SIGTERM", m.as, milliseconds(time.Since(begun)))
	}
	if err := h.comesBack(ctx, m, others[0]); err != nil {
		return err
	}
	for _, other := range others {
		if _, err := other.writesAfter(ctx, begun); err != nil {
			return err
		}
	}
	p.survey(begun, others)
	return h.watch(ctx, m)
}

func replaceNode(ctx context.Context, h *ha) error {
	return h.during(ctx, "a node is replaced", func(p *phase) error {
		before, err := h.publishes(ctx, h.members[0])
		if err != nil {
			return err
		}
		begun := time.Now()
		if err := h.lose(ctx); err != nil {
			return err
		}
		up := slices.Clone(h.members)
		if err := h.refetched(ctx, begun, up[0]); err != nil {
			return err
		}
		next := h.newMember("n4")
		if err := h.joins(ctx, next, up[0]); err != nil {
			return err
		}
		ready := time.Now()
		if err := h.settle(ctx, next); err != nil {
			return err
		}
		verified("that took %s, with the start of the workloads", milliseconds(time.Since(ready)))
		after, err := h.publishes(ctx, next)
		if err != nil {
			return err
		}
		if before.sequence != after.sequence || !bytes.Equal(before.document, after.document) {
			return fmt.Errorf("acme's bundle changed from sequence %d to %d", before.sequence, after.sequence)
		}
		verified("bank verified n4's SVIDs by the bundle that it had: sequence %d before and after, byte for byte", after.sequence)
		if err := h.verifyTolerance(ctx, up[0]); err != nil {
			return err
		}
		p.survey(begun, up)
		return h.watch(ctx, next)
	})
}

// lose kills a node that does not lead, for good, and removes it.
func (h *ha) lose(ctx context.Context) error {
	leader, err := h.leader(ctx, h.members[0])
	if err != nil {
		return err
	}
	lost := h.but(leader)[1]
	lost.unwatch()
	if err := lost.node.kill(); err != nil {
		return err
	}
	note("%s is killed, and its machine is not seen again; its workloads go on with the SVIDs that they have", lost.as)
	h.members = h.but(lost)
	h.lead()
	via := h.members[0]
	if _, err := via.run(ctx, "cluster", "remove", lost.as); err != nil {
		return err
	}
	verified("%s is removed, by a command at %s", lost.as, via.as)
	return nil
}

// published is acme's bundle: as m serves it, and the sequence that bank has.
type published struct {
	document []byte
	sequence uint64
}

func (h *ha) publishes(ctx context.Context, m *member) (published, error) {
	_, document, err := readBundle(ctx, m)
	if err != nil {
		return published{}, err
	}
	r, err := ask[relationship](ctx, h.bank, "federation", "show", m.name)
	return published{document, r.Status.Sequence}, err
}
