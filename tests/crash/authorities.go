package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/concord-id/concord/broker/admin/client"
)

// oldKept is how many authorities of a use may be old before they are revoked.
const oldKept = 3

func authorityName(a client.Authority) string { return "authority/" + a.Use + "/" + a.ID }

// authorityValue is where in its life an authority is.
func authorityValue(a client.Authority) string {
	if a.Tainted {
		return a.Status + " tainted"
	}
	return a.Status
}

// newAuthoritiesClerk turns the domain's keys. The node prepares the next ones
// by itself, so that one may be there that nobody asked for; at the first start
// the active ones too.
func newAuthoritiesClerk(name string, random *rand.Rand) *clerk {
	c := newClerk(name, random, "authority/")
	c.adopt = func(_, value string) bool { return value == "prepared" || value == "active" && c.counter == 0 }
	c.next = func(ctx context.Context, d *door) (request, error) {
		all, err := d.authorities(ctx)
		if err != nil {
			return request{}, err
		}
		c.count()
		for _, a := range all {
			if name := authorityName(a); c.book.kept[name] == "" && authorityValue(a) == "prepared" {
				c.book.kept[name] = "prepared"
			}
		}
		return c.nextAuthority(use(all, []string{"x509", "jwt"}[c.random.IntN(2)])), nil
	}
	return c
}

// uses are the authorities of one use.
type uses struct {
	use              string
	active, prepared *client.Authority
	old              []client.Authority
}

func use(all []client.Authority, which string) uses {
	of := uses{use: which}
	for _, a := range all {
		switch {
		case a.Use != which:
		case a.Status == "active":
			of.active = &a
		case a.Status == "prepared":
			of.prepared = &a
		default:
			of.old = append(of.old, a)
		}
	}
	return of
}

func (c *clerk) nextAuthority(of uses) request {
	switch {
	case len(of.old) > oldKept:
		return revoke(of.old[c.random.IntN(len(of.old))])
	case of.active != nil && c.chance(15):
		return c.wrongTurn(*of.active)
	case of.prepared == nil:
		return prepare(of.use)
	}
	return turn(of)
}

// prepare asks for the next authority, unless the node was faster. Which one
// it makes, only the answer says: until then it is one that may be there.
func prepare(which string) request {
	return request{what: "prepare the next " + which + " authority", chains: []chain{{}}, mayRefuse: true,
		ask: func(ctx context.Context, d *door) []answer {
			var out client.Outcome[client.Authority]
			err := d.rest.Do(ctx, http.MethodPost, client.Path("authorities", which, "prepare"), nil, nil, &out)
			if err != nil || out.After == nil {
				return []answer{{err: err}}
			}
			name := authorityName(*out.After)
			return []answer{{receipts: []receipt{{out.Index, name}}, learned: step{name: "prepared"}}}
		}}
}

// turn lets the prepared authority sign; the window is 0 here.
func turn(of uses) request {
	next := step{authorityName(*of.prepared): "active"}
	if of.active != nil {
		next[authorityName(*of.active)] = "old"
	}
	name := authorityName(*of.prepared)
	return request{what: "activate " + name, chains: []chain{{next}}, ask: func(ctx context.Context, d *door) []answer {
		return sent[client.Authority](ctx, d, http.MethodPost, path(name, "activate"), nil, name)
	}}
}

// revoke taints an old authority, then removes it.
func revoke(a client.Authority) request {
	name := authorityName(a)
	return request{what: "revoke " + name, chains: []chain{{step{name: "old tainted"}, step{name: ""}}},
		ask: func(ctx context.Context, d *door) []answer {
			var out client.Steps
			err := d.rest.Do(ctx, http.MethodPost, path(name, "revoke"), nil, nil, &out)
			var receipts []receipt
			for _, s := range out.Steps {
				receipts = append(receipts, receipt{s.Index, name})
			}
			return []answer{{err: err, receipts: receipts}}
		}}
}

// wrongTurn asks for what must be refused: the active authority is not tainted,
// nor activated again.
func (c *clerk) wrongTurn(active client.Authority) request {
	name := authorityName(active)
	verb := []string{"taint", "activate"}[c.random.IntN(2)]
	return request{what: verb + " the active authority " + name, ask: func(ctx context.Context, d *door) []answer {
		return sent[client.Authority](ctx, d, http.MethodPost, path(name, verb), nil, "")
	}}
}

// path is where an act on an authority is asked for.
func path(name, verb string) string {
	return client.Path(append(strings.Split(strings.Replace(name, "authority", "authorities", 1), "/"), verb)...)
}
