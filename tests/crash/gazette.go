package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

// gazette is what peers saw of the domain's own bundle.
type gazette struct {
	newest uint64            // the highest sequence
	issues map[uint64][]byte // the document of each
}

// read notes what the bundle endpoint serves, and returns what is wrong with it
// after everything that it served before.
func (g *gazette) read(document []byte, sequence uint64) (wrong []string) {
	if sequence < g.newest {
		wrong = append(wrong, fmt.Sprintf("the bundle's sequence was %d and is %d", g.newest, sequence))
	}
	if before, ok := g.issues[sequence]; ok && !bytes.Equal(before, document) {
		wrong = append(wrong, fmt.Sprintf("the bundle has sequence %d, as another document had", sequence))
	}
	if g.issues == nil {
		g.issues = map[uint64][]byte{}
	}
	g.newest, g.issues[sequence] = max(g.newest, sequence), document
	return wrong
}

// unpublished says where the bundle has other authorities than the domain.
func unpublished(ctx context.Context, d *door, document []byte) (wrong []string, err error) {
	published, _, err := federation.Parse(spiffeid.RequireTrustDomainFromString(domain), document)
	if err != nil {
		return []string{fmt.Sprintf("the bundle that is served is no bundle: %v", err)}, nil
	}
	served := map[string]bool{}
	for _, c := range published.X509 {
		served["authority/x509/"+hex.EncodeToString(c.SubjectKeyId)] = true
	}
	for _, k := range published.JWT {
		served["authority/jwt/"+k.ID] = true
	}
	all, err := d.authorities(ctx)
	if err != nil {
		return nil, err
	}
	kept := map[string]bool{}
	for _, a := range all {
		kept[authorityName(a)] = true
	}
	if maps.Equal(served, kept) {
		return nil, nil
	}
	return []string{fmt.Sprintf("the bundle has the authorities %v, the domain has %v", slices.Sorted(maps.Keys(served)), slices.Sorted(maps.Keys(kept)))}, nil
}
