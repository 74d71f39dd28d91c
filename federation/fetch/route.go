package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/concord-id/concord/federation"
)

// fetcher brings documents from endpoints. It is shared by all pollers and
// holds nothing of any of them.
type fetcher struct {
	dialer *dialer
	limits Limits
}

// line is what one poller keeps between its fetches. One poll at a time uses it.
type line struct {
	anchor anchor // authenticated kept, or the last attempt
	kept   *wire  // to the configured URL's host; nil if none
	reach  reach  // of the configured host, 0 before its name was first resolved
	known  validator
}

// drop closes the kept connection.
func (n *line) drop() {
	if n.kept != nil {
		n.kept.close()
		n.kept = nil
	}
}

// errand is one fetch: what for, by whose word, and what we hold already.
type errand struct {
	relationship federation.Relationship
	anchor       anchor
	held         *federation.Published // nil: nothing
	keep         bool                  // keep the connection for the next fetch
}

// parcel is what an endpoint answered.
type parcel struct {
	unchanged bool // what we hold is the newest
	document  []byte
	etag      string
	url       string // which answered
	shown     string // the same for people
	bytes     int
	peer      *x509.Certificate // the leaf that authenticated it
}

// fetch asks the configured URL and follows its redirects. Every hop starts
// anew: a permanent redirect is followed and forgotten (SPIFFE Federation
// §5.2.1.4), and every host on the way is authenticated alike.
func (f *fetcher) fetch(ctx context.Context, e errand, n *line) (*parcel, error) {
	if !n.anchor.same(e.anchor) || !e.keep {
		n.drop()
	}
	n.anchor = e.anchor
	at, err := locate(nil, e.relationship.URL)
	if err != nil {
		return nil, fmt.Errorf("the relationship's URL cannot be used: %w", err)
	}
	seen := []string{at.url.String()}
	for {
		first := len(seen) == 1
		tag := n.known.tag(at.url.String(), e.held)
		a, peer, err := f.hop(ctx, e, n, at, tag, first)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		if a.location == "" {
			return f.deliver(at, a, peer, tag)
		}
		next, err := f.follow(at, a, seen)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		at = next
		seen = append(seen, at.url.String())
	}
}

// follow returns where a redirect leads, if a bundle endpoint may be there.
func (f *fetcher) follow(at location, a *answer, seen []string) (location, error) {
	if len(seen) > f.limits.Hops {
		return location{}, fmt.Errorf("the peer redirects more than %d times", f.limits.Hops)
	}
	next, err := locate(at.url, a.location)
	if err != nil {
		return location{}, fmt.Errorf("the peer redirects to where no bundle endpoint can be: %w", err)
	}
	if slices.Contains(seen, next.url.String()) {
		return location{}, errors.New("the peer redirects in a circle")
	}
	return next, nil
}

// deliver makes a parcel of a final answer.
func (f *fetcher) deliver(at location, a *answer, peer *x509.Certificate, tag string) (*parcel, error) {
	p := &parcel{url: at.url.String(), shown: at.String(), etag: a.etag, bytes: a.bytes, peer: peer}
	switch {
	case a.status == http.StatusOK:
		p.document = a.body
	case a.status == http.StatusNotModified && tag != "":
		p.unchanged = true
	case a.status == http.StatusNotModified:
		return nil, fmt.Errorf("%s: the peer answered %s though nothing was asked on condition", at, statusInWords(a.status))
	default:
		return nil, fmt.Errorf("%s: the peer answered %s: ask its operator", at, statusInWords(a.status))
	}
	return p, nil
}
