package client

import "time"

// Cluster is how the members are, seen from one node.
type Cluster struct {
	Node      string          `json:"node"` // the ID of the member that answers
	Members   []ClusterMember `json:"members"`
	Index     uint64          `json:"index"`
	Epoch     uint64          `json:"epoch"`     // of the sharing of work; 0 before the first
	Live      []string        `json:"live"`      // IDs of those among whom work is shared
	Tolerates int             `json:"tolerates"` // voters that may be lost now; negative: there is no majority
	Keys      KeyCare         `json:"keys"`
}

// RegisteredMember is a member as the state knows it.
type RegisteredMember struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Address     string    `json:"address"`
	Version     string    `json:"version"`
	JoinedAt    time.Time `json:"joined_at,omitzero"`
	Incarnation uint64    `json:"incarnation"` // how often it was started
}

// ClusterMember is a member, and what it says itself if it answers.
type ClusterMember struct {
	RegisteredMember
	Voter       bool     `json:"voter"`
	Answers     bool     `json:"answers"`
	Error       string   `json:"error,omitempty"`
	Leading     bool     `json:"leading,omitempty"`
	Ready       bool     `json:"ready,omitempty"`
	Reasons     []string `json:"reasons,omitempty"` // why it is not ready
	Applied     uint64   `json:"applied,omitempty"`
	LastIndex   uint64   `json:"last_index,omitempty"`
	Lag         uint64   `json:"lag,omitempty"`    // log entries behind the furthest member
	Digest      string   `json:"digest,omitempty"` // of its state at applied
	Staleness   Duration `json:"staleness,omitzero"`
	ClockOffset Duration `json:"clock_offset,omitzero"` // its clock less that of who answers
	Polls       int      `json:"polls,omitempty"`       // peers that it follows
	DiskFree    uint64   `json:"disk_free_bytes,omitempty"`
	DiskSize    uint64   `json:"disk_size_bytes,omitempty"`
	KEK         string   `json:"kek,omitempty"` // the ID of the key-encryption key with which it seals
}

// NewJoinToken asks for a join token.
type NewJoinToken struct {
	Name string   `json:"name"`         // node-name of the node that may join
	TTL  Duration `json:"ttl,omitzero"` // 10m if it is not there
}

// JoinToken lets one node join.
type JoinToken struct {
	ID        string    `json:"id,omitempty"` // absent on a dry run, as the token is
	Token     string    `json:"token,omitempty"`
	Name      string    `json:"name"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Leader is the member that leads.
type Leader struct {
	Leader string `json:"leader"` // its name; "" if none is known, or on a dry run if any would do
}
