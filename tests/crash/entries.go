package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
)

// domain is the trust domain of every node here.
const domain = "acme.example"

// entriesKept is about how many entries a clerk has.
const entriesKept = 24

func entryName(id string) string { return "entry/" + id }

// entryValue is all of an entry but the moment at which a node made it.
func entryValue(e client.Entry) string {
	e.CreatedAt = time.Time{}
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // it came from JSON
	}
	return string(text)
}

func entryOf(value string) (e client.Entry) {
	if err := json.Unmarshal([]byte(value), &e); err != nil {
		panic(err) // it is one of ours
	}
	return e
}

// newEntriesClerk writes entries by REST.
func newEntriesClerk(name string, random *rand.Rand) *clerk {
	c := newClerk(name, random, entryName(name+"-"))
	c.next = func(context.Context, *door) (request, error) { return c.nextEntry(), nil }
	return c
}

// draft is an entry that nobody has made.
func (c *clerk) draft() client.Entry {
	id := fmt.Sprintf("%s-%d", c.name, c.count())
	return client.Entry{
		ID: id, SPIFFEID: "spiffe://" + domain + "/" + id, ParentID: "spiffe://" + domain + "/spire/agent/concord",
		Selectors: []string{"unix:gid:7", fmt.Sprint("unix:uid:", c.random.IntN(1000))},
		Hint:      c.words(), DNSNames: c.names(),
	}
}

// words are text of any length that a hint may have.
func (c *clerk) words() string {
	return fmt.Sprint(c.count(), strings.Repeat(" and so on", c.random.IntN(90)))
}

func (c *clerk) names() (names []string) {
	for i := range c.random.IntN(40) {
		names = append(names, fmt.Sprintf("host-%02d.%s.internal", i, c.name))
	}
	return names
}

// some returns the name of a record that there is; "" if there is none.
func (c *clerk) some() string {
	names := slices.Sorted(maps.Keys(c.book.kept))
	if len(names) == 0 {
		return ""
	}
	return names[c.random.IntN(len(names))]
}

// nextEntry makes, changes and deletes entries, and now and then asks for what
// must be refused.
func (c *clerk) nextEntry() request {
	name := c.some()
	switch {
	case name == "" || len(c.book.kept) < entriesKept && c.chance(50):
		return createEntry(c.draft())
	case c.chance(12):
		return c.wrongEntry(entryOf(c.book.kept[name]))
	case c.chance(60):
		return c.patchEntry(entryOf(c.book.kept[name]))
	}
	return deleteEntry(name)
}

func createEntry(e client.Entry) request {
	return request{
		what: "create entry " + e.ID, chains: []chain{{step{entryName(e.ID): entryValue(e)}}},
		ask: func(ctx context.Context, d *door) []answer {
			return sent[client.Entry](ctx, d, http.MethodPost, client.Path("entries"), e, entryName(e.ID))
		},
	}
}

func (c *clerk) patchEntry(e client.Entry) request {
	patch := client.EntryPatch{Hint: new(string)}
	*patch.Hint = c.words()
	after := e
	after.Hint = *patch.Hint
	if c.chance(50) {
		patch.IfRevision = &e.Revision
	}
	after.Revision++
	return request{
		what: "change entry " + e.ID, chains: []chain{{step{entryName(e.ID): entryValue(after)}}},
		ask: func(ctx context.Context, d *door) []answer {
			return sent[client.Entry](ctx, d, http.MethodPatch, client.Path("entries", e.ID), patch, entryName(e.ID))
		},
	}
}

func deleteEntry(name string) request {
	return request{
		what: "delete " + name, chains: []chain{{step{name: ""}}},
		ask: func(ctx context.Context, d *door) []answer {
			return sent[client.Entry](ctx, d, http.MethodDelete, client.Path("entries", strings.TrimPrefix(name, entryName(""))), nil, name)
		},
	}
}

// wrongEntry asks for something that is refused: before the log, or in it.
func (c *clerk) wrongEntry(there client.Entry) request {
	old, foreign := there.Revision+7, c.draft()
	foreign.SPIFFEID = "spiffe://bank.example/" + foreign.ID
	twice := c.draft()
	twice.SPIFFEID, twice.Selectors = there.SPIFFEID, there.Selectors
	refusals := []request{
		{what: "an entry of another domain", ask: func(ctx context.Context, d *door) []answer {
			return sent[client.Entry](ctx, d, http.MethodPost, client.Path("entries"), foreign, "")
		}},
		{what: "an entry like one that there is", ask: func(ctx context.Context, d *door) []answer {
			return sent[client.Entry](ctx, d, http.MethodPost, client.Path("entries"), twice, "")
		}},
		{what: "a change of a revision that is not there", ask: func(ctx context.Context, d *door) []answer {
			hint := "refused"
			return sent[client.Entry](ctx, d, http.MethodPatch, client.Path("entries", there.ID), client.EntryPatch{Hint: &hint, IfRevision: &old}, "")
		}},
	}
	return refusals[c.random.IntN(len(refusals))]
}

// sent makes one write by REST. Its subject is what the audit trail says that
// it is about.
func sent[T any](ctx context.Context, d *door, method, path string, in any, subject string) []answer {
	var out client.Outcome[T]
	err := d.rest.Do(ctx, method, path, nil, in, &out)
	return []answer{{err: err, receipts: []receipt{{out.Index, subject}}}}
}
