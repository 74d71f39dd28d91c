package node

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/workload/grant"
)

// bundleStore commits what the pollers fetched.
type bundleStore struct{ n *Node }

func (s bundleStore) PutBundle(ctx context.Context, p *federation.Published, expect [sha256.Size]byte) error {
	td := p.Bundle.TrustDomain
	cause := "fetched from its endpoint"
	if r, ok := s.n.replica.View().Relationship(td); ok {
		where, _, _ := strings.Cut(r.URL, "?") // a query may hold a secret
		cause = "fetched from " + where
	}
	applied, err := s.n.replica.Propose(ctx, s.n.act(cause), state.PutBundle{
		TrustDomain: td, Document: p.Document, IfDocument: expect, Origin: state.OriginFetch,
	})
	if err != nil {
		return err
	}
	return s.n.replica.WaitIndex(ctx, applied.Index)
}

// turned has open X.509-SVIDs signed anew after the issuer began to sign by
// another root. Tokens live minutes and are made on demand.
func (n *Node) turned(use ca.Use) {
	n.handover.end(n.issuer.Ready(time.Now()) == nil)
	if use == ca.X509 {
		n.grants.Changed(grant.Change{Signing: true})
	}
}
