package registrar

import (
	"context"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
)

// NodeStatus is this node as its own machines know it.
type NodeStatus struct {
	ID        string // SHA-256 of its key
	Name      string
	Version   string
	StartedAt time.Time
	Addresses map[string]string // what listens where: "api", "raft", "bundle", "ops"
	Ready     bool
	Reasons   []string // why it is not ready, each a sentence

	Leading   bool
	Leader    string        // name or ID of the leader; "" if none is known
	Members   []Member      // of the cluster, in the order of their IDs
	Staleness time.Duration // since what it shows was confirmed by a leader
	Heard     bool          // a leader has been heard since this node started

	ServerSVID [][]byte // DER, leaf first: what it presents as /spire/server; nil before it has one
}

// Member is a node of the cluster.
type Member struct {
	ID      string
	Name    string // "" until it has registered
	Address string
	Voter   bool
}

// Status is what an operator wants to know first.
type Status struct {
	Node        NodeStatus
	ClusterID   string
	TrustDomain spiffeid.TrustDomain // zero before the domain is set up
	CreatedAt   time.Time            // of the trust domain
	Settings    Settings

	Index     uint64
	Digest    [32]byte // of the whole state at Index
	AuditHead [32]byte // of the audit trail's chain at Index

	Entries, Agents, Bundles, Relationships int // Bundles: those of other domains
	Sequence                                uint64
}

// Status returns how this node, the cluster and the domain are. It answers
// also before the domain is set up, and when the node is not ready.
func (r *Registrar) Status(ctx context.Context, who broker.Caller) (Status, error) {
	view, err := r.read(ctx, who, "read the status")
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Node:          r.parts.Node(),
		Index:         view.Index(),
		Digest:        view.Digest(),
		AuditHead:     view.AuditHead(),
		Entries:       view.EntryCount(),
		Agents:        view.AgentCount(),
		Bundles:       view.BundleCount(),
		Relationships: view.RelationshipCount(),
	}
	if domain, ok := view.Domain(); ok {
		s.ClusterID, s.TrustDomain, s.CreatedAt, s.Settings = domain.ClusterID, domain.TrustDomain, domain.CreatedAt, domain.Settings
	}
	if own := view.Own(); own != nil {
		s.Sequence = own.Bundle.Sequence
	}
	return s, nil
}

// Serving reports whether the domain is set up and this node is ready to
// serve. It is public: a caller needs no role.
func (r *Registrar) Serving() bool {
	return r.parts.Ledger.View().Own() != nil && r.parts.Node().Ready
}
