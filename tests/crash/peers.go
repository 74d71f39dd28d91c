package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
)

// peersKnown is how many trust domains a clerk writes about.
const peersKnown = 6

func relationshipName(td string) string { return "relationship/" + td }
func bundleName(td string) string       { return "bundle/" + td }

// relationshipValue is what was configured, and its revision.
func relationshipValue(r client.Relationship) string {
	return fmt.Sprint(r.URL, " ", r.Profile, " ", r.EndpointID, " revision ", r.Revision)
}

// bundleValue stands for the bytes of a bundle.
func bundleValue(document []byte) string { return fmt.Sprintf("%x", sha256.Sum256(document)) }

// newPeersClerk writes relationships and bundles of other domains. Nobody
// answers where their endpoints should be.
func newPeersClerk(name string, random *rand.Rand) *clerk {
	c := newClerk(name, random, relationshipName(name+"-"), bundleName(name+"-"))
	c.next = func(ctx context.Context, d *door) (request, error) {
		td := fmt.Sprintf("%s-%d.example", name, random.IntN(peersKnown))
		related, held := c.book.kept[relationshipName(td)] != "", c.book.kept[bundleName(td)] != ""
		switch {
		case c.chance(10):
			return c.wrongBundle(ctx, d, td)
		case !related && c.chance(40):
			return c.relate(td), nil
		case related && c.chance(15):
			return c.part(td), nil
		case related && c.chance(20):
			return c.move(td), nil
		case held && c.chance(20):
			return c.dropBundle(td), nil
		}
		return c.setBundle(td), nil
	}
	return c
}

// document is a bundle that nobody has seen.
func (c *clerk) document(td string) []byte {
	b := &federation.Bundle{
		TrustDomain: spiffeid.RequireTrustDomainFromString(td),
		Sequence:    uint64(c.count()), Sequenced: true, Hint: time.Minute, Hinted: true,
	}
	for i := range 1 + c.random.IntN(30) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
		if err != nil {
			panic(err) // crypto/rand never fails
		}
		b.JWT = append(b.JWT, federation.JWTAuthority{ID: fmt.Sprint("key-", i), Key: key.Public()})
	}
	published, err := federation.Publish(b)
	if err != nil {
		panic(err) // it has nothing unusual in it
	}
	return published.Document
}

// relationship is where the endpoint of td is said to be.
func (c *clerk) relationship(td string) client.Relationship {
	return client.Relationship{
		TrustDomain: td, URL: fmt.Sprintf("https://127.0.0.1:1/%d", c.count()),
		Profile: string(federation.HTTPSSPIFFE), EndpointID: "spiffe://" + td + "/spire/server",
	}
}

// relate makes a relationship, sometimes with a first bundle, which comes before it.
func (c *clerk) relate(td string) request {
	in := client.NewRelationship{Relationship: c.relationship(td)}
	var steps chain
	if c.chance(60) {
		in.Bundle = c.document(td)
		steps = chain{step{bundleName(td): bundleValue(in.Bundle)}}
	}
	steps = append(steps, step{relationshipName(td): relationshipValue(in.Relationship)})
	return request{what: "relate to " + td, chains: []chain{steps}, ask: func(ctx context.Context, d *door) []answer {
		return sent[client.Relationship](ctx, d, http.MethodPost, client.Path("federation"), in, relationshipName(td))
	}}
}

// move changes a relationship.
func (c *clerk) move(td string) request {
	in := c.relationship(td)
	after := in
	before := strings.Fields(c.book.kept[relationshipName(td)])
	revision, err := strconv.ParseUint(before[len(before)-1], 10, 64)
	if err != nil {
		panic(err) // relationshipValue wrote it
	}
	in.Revision, after.Revision = revision, revision+1
	return request{what: "change the relationship with " + td, chains: []chain{{step{relationshipName(td): relationshipValue(after)}}},
		ask: func(ctx context.Context, d *door) []answer {
			return sent[client.Relationship](ctx, d, http.MethodPut, client.Path("federation", td), in, relationshipName(td))
		}}
}

// part ends a relationship, and with it the bundle.
func (c *clerk) part(td string) request {
	return request{what: "part from " + td, chains: []chain{{step{relationshipName(td): "", bundleName(td): ""}}},
		ask: func(ctx context.Context, d *door) []answer {
			return sent[client.Relationship](ctx, d, http.MethodDelete, client.Path("federation", td), nil, relationshipName(td))
		}}
}

func (c *clerk) setBundle(td string) request {
	document := c.document(td)
	return request{what: "set the bundle of " + td, chains: []chain{{step{bundleName(td): bundleValue(document)}}},
		ask: func(ctx context.Context, d *door) []answer {
			return sent[client.Bundle](ctx, d, http.MethodPut, client.Path("bundles", td), json.RawMessage(document), bundleName(td))
		}}
}

func (c *clerk) dropBundle(td string) request {
	return request{what: "delete the bundle of " + td, chains: []chain{{step{bundleName(td): ""}}},
		ask: func(ctx context.Context, d *door) []answer {
			return sent[client.Bundle](ctx, d, http.MethodDelete, client.Path("bundles", td), nil, bundleName(td))
		}}
}

// wrongBundle brings a bundle for our own domain, or our keys for another one.
func (c *clerk) wrongBundle(ctx context.Context, d *door, td string) (request, error) {
	ours, _, err := d.published(ctx)
	if err != nil {
		return request{}, err
	}
	if c.chance(50) {
		td = domain
	}
	return request{what: "our own bundle for " + td, ask: func(ctx context.Context, d *door) []answer {
		return sent[client.Bundle](ctx, d, http.MethodPut, client.Path("bundles", td), json.RawMessage(ours), "")
	}}, nil
}
