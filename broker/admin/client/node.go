package client

import "time"

// Status is a node, its cluster and its domain.
type Status struct {
	ClusterID   string            `json:"cluster_id,omitempty"`
	TrustDomain string            `json:"trust_domain"` // "" before it is set up
	Node        string            `json:"node"`
	Version     string            `json:"version"`
	StartedAt   time.Time         `json:"started_at"`
	Ready       bool              `json:"ready"`
	Reasons     []string          `json:"reasons"`
	Leader      string            `json:"leader,omitempty"`
	Leading     bool              `json:"leading"`
	Members     []Member          `json:"members"`
	Index       uint64            `json:"index"`
	Digest      string            `json:"digest"`     // of the whole state at Index, hex
	AuditHead   string            `json:"audit_head"` // of the audit trail's chain at Index, hex
	Staleness   Duration          `json:"staleness"`  // since what it shows was confirmed by a leader
	Sequence    uint64            `json:"sequence"`   // of our bundle
	Entries     int               `json:"entries"`
	Bundles     int               `json:"bundles"`
	Agents      int               `json:"agents"`
	Peers       map[string]int    `json:"peers"` // relationships by state
	Addresses   map[string]string `json:"addresses"`
	Settings    Settings          `json:"settings"`
}

// Member is a node of the cluster.
type Member struct {
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Address string `json:"address"`
	Voter   bool   `json:"voter"`
}

// Settings are the domain's policy on time.
type Settings struct {
	RefreshHint       Duration `json:"refresh_hint"`
	PublicationWindow Duration `json:"publication_window"` // negative: three times the largest hint served
	X509TTL           Duration `json:"x509_svid_ttl"`
	JWTTTL            Duration `json:"jwt_svid_ttl"`
	IntermediateTTL   Duration `json:"intermediate_ttl"`
	RootTTL           Duration `json:"root_ttl"`
}

// LogLevel is how much a node logs.
type LogLevel struct {
	Level  string `json:"level"`
	Launch string `json:"launch,omitempty"` // what it was started with
}
