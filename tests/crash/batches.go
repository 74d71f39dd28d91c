package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/broker/admin/client"
)

// newBatchesClerk writes entries by SPIRE's API, several in a request. Each of
// them is a command of its own: a crash may come between any two.
func newBatchesClerk(name string, random *rand.Rand) *clerk {
	c := newClerk(name, random, entryName(name+"-"))
	c.next = func(context.Context, *door) (request, error) {
		switch full := len(c.book.kept) >= entriesKept; {
		case len(c.book.kept) == 0, !full && c.chance(50):
			return c.createBatch(), nil
		case c.chance(50):
			return c.updateBatch(), nil
		}
		return c.deleteBatch(), nil
	}
	return c
}

const batchMost = 6

func (c *clerk) createBatch() request {
	var in []*types.Entry
	var chains []chain
	for range 1 + c.random.IntN(batchMost) {
		e := c.draft()
		in = append(in, wire(e))
		chains = append(chains, chain{step{entryName(e.ID): entryValue(e)}})
	}
	return request{
		what: "create a batch of entries", chains: chains,
		ask: func(ctx context.Context, d *door) []answer {
			out, err := entryv1.NewEntryClient(d.spire).BatchCreateEntry(ctx, &entryv1.BatchCreateEntryRequest{Entries: in})
			return each(len(in), out.GetResults(), err)
		},
	}
}

func (c *clerk) updateBatch() request {
	var in []*types.Entry
	var chains []chain
	for _, name := range c.several() {
		e := entryOf(c.book.kept[name])
		e.Hint = c.words()
		in = append(in, wire(e))
		e.Revision++
		chains = append(chains, chain{step{name: entryValue(e)}})
	}
	return request{
		what: "change a batch of entries", chains: chains,
		ask: func(ctx context.Context, d *door) []answer {
			out, err := entryv1.NewEntryClient(d.spire).BatchUpdateEntry(ctx, &entryv1.BatchUpdateEntryRequest{
				Entries: in, InputMask: &types.EntryMask{Hint: true},
			})
			return each(len(in), out.GetResults(), err)
		},
	}
}

func (c *clerk) deleteBatch() request {
	var ids []string
	var chains []chain
	for _, name := range c.several() {
		ids = append(ids, strings.TrimPrefix(name, entryName("")))
		chains = append(chains, chain{step{name: ""}})
	}
	return request{
		what: "delete a batch of entries", chains: chains,
		ask: func(ctx context.Context, d *door) []answer {
			out, err := entryv1.NewEntryClient(d.spire).BatchDeleteEntry(ctx, &entryv1.BatchDeleteEntryRequest{Ids: ids})
			return each(len(ids), out.GetResults(), err)
		},
	}
}

// several are the names of some records that there are, each once.
func (c *clerk) several() []string {
	chosen := map[string]bool{}
	var names []string
	for range 1 + c.random.IntN(batchMost) {
		if name := c.some(); !chosen[name] {
			chosen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// each returns what a batch says of each of its items.
func each[R interface{ GetStatus() *types.Status }](items int, results []R, err error) []answer {
	answers := make([]answer, items)
	if err == nil && len(results) != items {
		err = fmt.Errorf("the answer has %d results for %d items", len(results), items)
	}
	for i := range answers {
		switch {
		case err != nil && judge(err) == refused:
			answers[i].err = err
		case err != nil:
			answers[i].err = errors.Join(errors.New("the batch was not answered"), err)
		default:
			answers[i].err = status.Error(codes.Code(results[i].GetStatus().GetCode()), results[i].GetStatus().GetMessage())
		}
	}
	return answers
}

// wire is e as SPIRE's API writes it.
func wire(e client.Entry) *types.Entry {
	out := &types.Entry{Id: e.ID, SpiffeId: wireID(e.SPIFFEID), ParentId: wireID(e.ParentID), Hint: e.Hint, DnsNames: e.DNSNames}
	for _, text := range e.Selectors {
		kind, value, _ := strings.Cut(text, ":")
		out.Selectors = append(out.Selectors, &types.Selector{Type: kind, Value: value})
	}
	return out
}

func wireID(id string) *types.SPIFFEID {
	td, path, _ := strings.Cut(strings.TrimPrefix(id, "spiffe://"), "/")
	return &types.SPIFFEID{TrustDomain: td, Path: "/" + path}
}
