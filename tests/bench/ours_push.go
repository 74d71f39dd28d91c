package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
)

const (
	pushTurns    = 3  // floor, ours, floor, ours, …
	pushPerTurn  = 34 // changes a turn: about a hundred in all, so that p99 is the worst
	svidStream   = "/SpiffeWorkloadAPI/FetchX509SVID"
	descriptors  = 18_000
	peerOfStream = "peer.example"
)

// push measures, on 4,000 streams that are open at once, how long after a
// change the last of them has it: ours from the request that makes the change,
// durable write included; the floor from the moment it wakes its streams.
func push(ctx context.Context) (result, error) {
	if err := enoughDescriptors(); err != nil {
		return result{}, err
	}
	r, err := startNode(ctx, nil)
	if err != nil {
		return result{}, err
	}
	defer r.stop()
	if err := r.register(ctx); err != nil {
		return result{}, err
	}
	peer, err := newPeer()
	if err != nil {
		return result{}, err
	}
	change := func() error { return peer.publish(ctx, r.api) }
	if err := change(); err != nil {
		return result{}, err
	}
	var floors, ours []time.Duration
	bytes := 0
	for range pushTurns {
		mine, size, err := oursTurn(ctx, r, change)
		if err != nil {
			return result{}, fmt.Errorf("ours: %w", err)
		}
		ours, bytes = append(ours, mine...), size
		theirs, err := floorTurn(ctx, bytes)
		if err != nil {
			return result{}, fmt.Errorf("floor: %w", err)
		}
		floors = append(floors, theirs...)
	}
	a, b := p99(floors), p99(ours)
	ratio := float64(b) / float64(a)
	return result{floor: milliseconds(a), ours: milliseconds(b), ratio: fmt.Sprintf("%.2f ×", ratio), met: ratio <= 1.5}, nil
}

func oursTurn(ctx context.Context, r *running, change func() error) ([]time.Duration, int, error) {
	c, err := join(ctx, r.socket("workload.sock"), svidStream)
	if err != nil {
		return nil, 0, err
	}
	seen, err := turn(ctx, c, change)
	return seen, int(c.size.Load()), errors.Join(err, c.leave())
}

func floorTurn(ctx context.Context, bytes int) ([]time.Duration, error) {
	c, change, stop, err := floorPush(ctx, bytes)
	if err != nil {
		return nil, err
	}
	seen, err := turn(ctx, c, change)
	return seen, errors.Join(err, stop())
}

func turn(ctx context.Context, c *crowd, change func() error) (seen []time.Duration, err error) {
	if _, err := c.round(ctx, change); err != nil { // warm
		return nil, err
	}
	for range pushPerTurn {
		took, err := c.round(ctx, change)
		if err != nil {
			return nil, err
		}
		seen = append(seen, took)
	}
	return seen, nil
}

func p99(values []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)*99/100]
}

// enoughDescriptors raises the limit to what both ends of the streams need.
func enoughDescriptors() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur >= descriptors {
		return nil
	}
	limit.Cur = min(limit.Max, descriptors)
	if limit.Cur < descriptors {
		return fmt.Errorf("this process may have %d descriptors, 4,000 streams with both ends here need %d", limit.Cur, descriptors)
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// peer is another trust domain whose bundle changes.
type peer struct {
	root     *x509.Certificate
	sequence uint64
}

func newPeer() (*peer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: peerOfStream}, NotBefore: time.Now().Add(-time.Minute),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		URIs: []*url.URL{{Scheme: "spiffe", Host: peerOfStream}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	return &peer{root: root}, err
}

// publish gives the node a bundle with or without a second authority: each
// time another content.
func (p *peer) publish(ctx context.Context, api *client.Client) error {
	p.sequence++
	other, err := newPeer()
	if err != nil {
		return err
	}
	b := &federation.Bundle{
		TrustDomain: spiffeid.RequireTrustDomainFromString(peerOfStream), X509: []*x509.Certificate{p.root, other.root},
		Sequence: p.sequence, Sequenced: true,
	}
	document, err := b.Marshal()
	if err != nil {
		return err
	}
	return api.Do(ctx, http.MethodPut, client.Path("bundles", peerOfStream), nil, json.RawMessage(document), nil)
}
