package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/fault/history"
)

// finish looks at how the campaign ends: everything was healed, all work comes to
// rest, and each node shows what it has.
func (c *campaign) finish(ctx context.Context, rest func()) error {
	if err := c.whole(ctx); err != nil {
		c.rec.wrong("a cluster heals by itself", "at the end: %v", err)
	}
	for _, p := range c.peers {
		p.behave(honest)
	}
	c.deliveries(ctx)
	rest()
	if err := c.level(ctx); err != nil {
		return err
	}
	for _, m := range c.machines {
		if err := c.lastReads(ctx, m); err != nil {
			return fmt.Errorf("read what %s has: %w", m.name, err)
		}
		if err := c.audit(ctx, m); err != nil {
			return fmt.Errorf("read the audit trail of %s: %w", m.name, err)
		}
		c.baseline(m)
	}
	for _, m := range c.machines {
		if err := m.stop(); err != nil {
			c.rec.wrong(survival, "%v", err)
		}
	}
	return c.logs()
}

// lastTime is how long the last changes may take to reach everybody.
const lastTime = 30 * time.Second

// deliveries waits until each workload has of each peer what the peer has published
// at some moment meanwhile: nobody may be left with something older.
func (c *campaign) deliveries(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastTime)
	defer cancel()
	for _, w := range c.watching {
		for _, p := range c.peers {
			for !slices.Equal(w.has(p.domain.Name()), p.keys()) {
				if ctx.Err() != nil {
					c.rec.wrong("workloads never miss the final state", "a workload of %s has for %s the keys %v, which publishes %v", w.m.name, p.domain, w.has(p.domain.Name()), p.keys())
					break
				}
				pause(ctx, 50*time.Millisecond)
			}
		}
	}
}

// level waits until all nodes have the same log index, and notes their states.
func (c *campaign) level(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lastTime)
	defer cancel()
	for {
		indexes, digests := map[uint64]bool{}, map[string]bool{}
		for _, m := range c.machines {
			s, err := c.status(ctx, m)
			if err == nil {
				indexes[s.Index], digests[s.Digest] = true, true
				c.rec.add(history.Event{Kind: history.Sample, Node: m.name, Index: s.Index, Hash: s.Digest})
			} else {
				indexes[0] = true
			}
		}
		if len(indexes) == 1 && !indexes[0] && len(digests) == 1 {
			return nil
		}
		if ctx.Err() != nil {
			c.rec.wrong("members that read the same log have the same state", "%s after everybody rests they have the indexes %v and the states %v", lastTime, indexes, digests)
			return nil
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// lastReads notes every entry that was ever written, as a node has it now.
func (c *campaign) lastReads(ctx context.Context, m *machine) error {
	begun := c.rec.now()
	found := map[string]client.Entry{}
	for query := (url.Values{}); ; {
		var page client.Entries
		if err := m.door.do(ctx, call{method: http.MethodGet, path: client.Path("entries"), query: query, out: &page}); err != nil {
			return err
		}
		for _, e := range page.Entries {
			found[e.ID] = e
		}
		if page.Next == "" {
			break
		}
		query.Set("page_token", page.Next)
	}
	for i := range c.register.made {
		key := fmt.Sprint("k-", i+1)
		e := history.Event{Kind: history.Read, Client: "last", Node: m.name, Op: history.Last, Key: key, Outcome: "not_found", Begin: begun}
		if entry, there := found[key]; there {
			e.Outcome, e.Value, e.Revision = history.Done, entry.Hint, entry.Revision
		}
		c.rec.add(e)
	}
	return nil
}

// auditPage is how many records the node gives at once.
const auditPage = 5000

// audit notes the end of a node's audit trail, and has the node look at all of it.
func (c *campaign) audit(ctx context.Context, m *machine) error {
	var page client.AuditRecords
	if err := m.door.do(ctx, call{method: http.MethodGet, path: client.Path("audit"), query: url.Values{"limit": {fmt.Sprint(auditPage)}}, out: &page}); err != nil {
		return err
	}
	for _, r := range page.Records {
		c.rec.add(audited(m, r))
	}
	var verified client.AuditVerified
	if err := m.door.do(ctx, call{method: http.MethodGet, path: client.Path("audit", "verify"), out: &verified}); err != nil {
		c.rec.wrong("one audit record per change, in a chain", "%s: %v", m.name, err)
	}
	return nil
}

// audited is a record of the trail as an event.
func audited(m *machine, r client.AuditRecord) history.Event {
	e := history.Event{Kind: history.Audited, Node: m.name, Index: r.Index, Hash: r.Head, Request: r.RequestID, Key: r.Subject, Op: r.Kind, Outcome: history.Done}
	if r.Refused != "" {
		e.Outcome = r.Refused
	}
	for _, f := range r.Fields {
		if f.Name == "document" && f.Record == r.Subject {
			e.Value = f.After
		}
	}
	return e
}

// mostDescriptors is more than a node at rest has open.
const mostDescriptors = 150

// baseline looks whether a node that is at rest has let go of what it had open.
func (c *campaign) baseline(m *machine) {
	for end := time.Now().Add(lastTime); ; time.Sleep(200 * time.Millisecond) {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", m.pid()))
		if err == nil && len(open) <= mostDescriptors {
			return
		}
		if time.Now().After(end) {
			c.rec.wrong("descriptors return to their baseline", "%s has %d open, %s after everybody rests: %v", m.name, len(open), lastTime, err)
			return
		}
	}
}

// fatal is in no log, whatever happens.
var fatal = regexp.MustCompile(`(?m)^.*(panic: |fatal error: |DATA RACE|do not have the same state).*$`)

// logs looks for what no fault excuses.
func (c *campaign) logs() error {
	files, err := filepath.Glob(filepath.Join(c.o.keep, "*.log"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, line := range fatal.FindAll(text, 3) {
			c.rec.wrong(survival, "%s: %s", strings.TrimSuffix(filepath.Base(file), ".log"), bytes.TrimSpace(line))
		}
	}
	return nil
}
