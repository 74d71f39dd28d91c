package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/fault/history"
)

const (
	sampleEvery = 400 * time.Millisecond
	sampleTime  = 3 * time.Second
)

// sample notes a machine's state, and what is new in its audit trail, again and
// again, until ctx ends. A trail ends with its machine, so it is collected, as
// operators do.
func (c *campaign) sample(ctx context.Context, m *machine) {
	for collected := uint64(0); ctx.Err() == nil; {
		collected = c.collect(ctx, m, collected)
		if s, err := c.status(ctx, m); err == nil && s.Index > 0 {
			c.rec.add(history.Event{Kind: history.Sample, Node: m.name, Index: s.Index, Hash: s.Digest})
		}
		pause(ctx, sampleEvery)
	}
}

// collect notes a machine's audit records after a log index, and returns the newest's.
func (c *campaign) collect(ctx context.Context, m *machine, after uint64) uint64 {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	var page client.AuditRecords
	query := url.Values{"after": {fmt.Sprint(after)}, "limit": {fmt.Sprint(auditPage)}}
	if m.door.do(ctx, call{method: http.MethodGet, path: client.Path("audit"), query: query, out: &page}) != nil {
		return after
	}
	for _, r := range page.Records {
		c.rec.add(audited(m, r))
		after = max(after, r.Index)
	}
	return after
}

func (c *campaign) status(ctx context.Context, m *machine) (client.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	var s client.Status
	err := m.door.do(ctx, call{method: http.MethodGet, path: client.Path("status"), out: &s})
	return s, err
}

// leader is the machine whose node leads; the error says why it is not known.
func (c *campaign) leader(ctx context.Context) (*machine, error) {
	for attempt := 0; ; attempt++ {
		for _, m := range c.machines {
			if s, err := c.status(ctx, m); err == nil && s.Leading {
				return m, nil
			}
		}
		if attempt == 20 || ctx.Err() != nil {
			return nil, errors.New("nobody leads")
		}
		pause(ctx, 250*time.Millisecond)
	}
}

// others are the machines without one.
func (c *campaign) others(m *machine) []*machine {
	return slices.DeleteFunc(slices.Clone(c.machines), func(o *machine) bool { return o == m })
}

// wholeTime is how long a cluster may take, after everything was healed, until all
// its members are ready, vote, and have the same log.
const wholeTime = 60 * time.Second

// whole waits until the cluster is as it should be.
func (c *campaign) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	for {
		err := c.wanting(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s after all is healed: %w", wholeTime, err)
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// mostLag is how many entries behind the furthest a member may be under load.
const mostLag = 200

// wanting says what is not as it should be.
func (c *campaign) wanting(ctx context.Context) error {
	for _, m := range c.machines {
		ask, cancel := context.WithTimeout(ctx, sampleTime)
		var seen client.Cluster
		err := m.door.do(ask, call{method: http.MethodGet, path: client.Path("cluster"), out: &seen})
		cancel()
		if err != nil {
			return fmt.Errorf("%s does not say how the cluster is: %w", m.name, err)
		}
		if len(seen.Members) != len(c.machines) || len(seen.Live) != len(c.machines) {
			return fmt.Errorf("%s knows %d members, %d of them live", m.name, len(seen.Members), len(seen.Live))
		}
		for _, o := range seen.Members {
			if !o.Voter || !o.Answers || !o.Ready || o.Lag > mostLag {
				return fmt.Errorf("%s says of %s: voter %t, answers %t, ready %t, %d entries behind, %s %s", m.name, o.Name, o.Voter, o.Answers, o.Ready, o.Lag, o.Error, strings.Join(o.Reasons, "; "))
			}
		}
	}
	return nil
}
