package client

import (
	"encoding/json"
	"time"
)

// Bundle is the bundle of a trust domain.
type Bundle struct {
	TrustDomain string          `json:"trust_domain"`
	Sequence    uint64          `json:"sequence"`
	RefreshHint Duration        `json:"refresh_hint,omitzero"`
	X509        []Certificate   `json:"x509_authorities"`
	JWT         []JWTAuthority  `json:"jwt_authorities"`
	Origin      string          `json:"origin"` // "own", "fetch", "operator"
	UpdatedAt   time.Time       `json:"updated_at,omitzero"`
	Document    json.RawMessage `json:"document,omitempty"` // as the endpoint serves it; not in listings
}

// Certificate is an X.509 authority in short.
type Certificate struct {
	ID        string    `json:"id"` // subject key identifier, hex
	Subject   string    `json:"subject"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	SHA256    string    `json:"sha256"` // of the certificate, hex
}

// JWTAuthority is a JWT signing key in short.
type JWTAuthority struct {
	KeyID string `json:"kid"`
	Kind  string `json:"kind"` // "EC P-256", "RSA 2048"
}

// Bundles is a page of other domains' bundles.
type Bundles struct {
	Bundles []Bundle `json:"bundles"`
	Page
}

// Relationship is one peer that this domain follows.
type Relationship struct {
	TrustDomain string             `json:"trust_domain"`
	URL         string             `json:"url"`
	Profile     string             `json:"profile"`
	EndpointID  string             `json:"endpoint_id,omitempty"` // https_spiffe
	Roots       string             `json:"roots,omitempty"`       // PEM; https_web
	CreatedAt   time.Time          `json:"created_at,omitzero"`
	Revision    uint64             `json:"revision"`
	Status      RelationshipStatus `json:"status,omitzero"`
}

// RelationshipStatus is how a relationship fares.
type RelationshipStatus struct {
	State       string    `json:"state"` // "pending", "active", "degraded", "failing"
	Sequence    uint64    `json:"sequence"`
	Age         Duration  `json:"age,omitzero"` // since it was last confirmed to be the newest
	RefreshHint Duration  `json:"refresh_hint,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastAttempt time.Time `json:"last_attempt,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	Alarms      []string  `json:"alarms,omitempty"` // what the newest document had in it that a person should look at
	NextPoll    time.Time `json:"next_poll,omitzero"`
	Polls       uint64    `json:"polls"`
	Changes     uint64    `json:"changes"`
	Bytes       int       `json:"bytes"`
	X509        int       `json:"x509_authorities"`
	JWT         int       `json:"jwt_authorities"`
}

// NewRelationship asks for a relationship; Bundle is a first bundle, as its
// endpoint would serve it.
type NewRelationship struct {
	Relationship
	Bundle json.RawMessage `json:"bundle,omitempty"`
}

// Relationships is a page of relationships.
type Relationships struct {
	Relationships []Relationship `json:"relationships"`
	Page
}
