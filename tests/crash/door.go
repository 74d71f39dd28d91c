package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
)

// door is how everybody speaks to one life of a node.
type door struct {
	rest   *client.Client
	spire  *grpc.ClientConn
	peers  *http.Client
	bundle string // URL of the bundle endpoint
}

// openDoor dials the node with this data directory, whose bundle endpoint is
// at that URL.
func openDoor(dir, bundle string) (*door, error) {
	socket := filepath.Join(dir, "admin.sock")
	spire, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &door{
		rest: client.New(socket, "crash campaign"), spire: spire, bundle: bundle,
		// Who the endpoint is does not matter here, only what it says.
		peers: &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}},
	}, nil
}

func (d *door) close() error {
	d.peers.CloseIdleConnections()
	return d.spire.Close()
}

// get reads a resource.
func (d *door) get(ctx context.Context, out any, segments ...string) error {
	return d.rest.Do(ctx, http.MethodGet, client.Path(segments...), nil, nil, out)
}

// records returns everything that a node holds, by its name in the audit trail.
func (d *door) records(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	err := pages(ctx, d, "entries", func(page client.Entries) string {
		for _, e := range page.Entries {
			all[entryName(e.ID)] = entryValue(e)
		}
		return page.Next
	})
	if err == nil {
		err = pages(ctx, d, "federation", func(page client.Relationships) string {
			for _, r := range page.Relationships {
				all[relationshipName(r.TrustDomain)] = relationshipValue(r)
			}
			return page.Next
		})
	}
	var held []string
	if err == nil {
		err = pages(ctx, d, "bundles", func(page client.Bundles) string {
			for _, b := range page.Bundles {
				held = append(held, b.TrustDomain)
			}
			return page.Next
		})
	}
	for _, td := range held {
		var b client.Bundle
		if err = d.get(ctx, &b, "bundles", td); err != nil {
			return nil, err
		}
		all[bundleName(td)] = bundleValue(b.Document)
	}
	if err != nil {
		return nil, err
	}
	authorities, err := d.authorities(ctx)
	for _, a := range authorities {
		all[authorityName(a)] = authorityValue(a)
	}
	return all, err
}

func (d *door) authorities(ctx context.Context) ([]client.Authority, error) {
	var all client.Authorities
	err := d.get(ctx, &all, "authorities")
	return all.Authorities, err
}

// pages reads a listing to its end; each returns where the next page begins.
func pages[T any](ctx context.Context, d *door, what string, each func(T) (next string)) error {
	for query := (url.Values{}); ; {
		var page T
		if err := d.rest.Do(ctx, http.MethodGet, client.Path(what), query, nil, &page); err != nil {
			return fmt.Errorf("list %s: %w", what, err)
		}
		next := each(page)
		if next == "" {
			return nil
		}
		query.Set("page_token", next)
	}
}

// published is what the bundle endpoint serves.
func (d *door) published(ctx context.Context) (document []byte, sequence uint64, err error) {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, d.bundle, nil)
	if err != nil {
		return nil, 0, err
	}
	got, err := d.peers.Do(ask)
	if err != nil {
		return nil, 0, err
	}
	defer got.Body.Close()
	document, err = io.ReadAll(io.LimitReader(got.Body, federation.MaxBundleBytes+1))
	if err != nil {
		return nil, 0, err
	}
	if got.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the bundle endpoint answers %s: %.200s", got.Status, document)
	}
	var head struct {
		Sequence uint64 `json:"spiffe_sequence"`
	}
	if err := json.Unmarshal(document, &head); err != nil {
		return nil, 0, errors.Join(errors.New("the bundle endpoint serves no bundle"), err)
	}
	return document, head.Sequence, nil
}

// audited returns the audit records after a log index.
func (d *door) audited(ctx context.Context, after uint64) ([]client.AuditRecord, error) {
	query := url.Values{"after": {fmt.Sprint(after)}, "limit": {fmt.Sprint(mostRecords)}}
	var all client.AuditRecords
	err := d.rest.Do(ctx, http.MethodGet, client.Path("audit"), query, nil, &all)
	return all.Records, err
}

// mostRecords is what the node gives in one answer.
const mostRecords = 10_000

// patience is how long anything may take that must happen.
const patience = 60 * time.Second
