// Package client is the administrative REST API as its clients see it: the
// documents that go over the wire, and a client that speaks them over the
// admin socket. It knows nothing of how a node keeps what it shows.
package client

import (
	"encoding/json"
	"time"
)

// Duration is written as Go writes it: "1h30m0s". In a request a number of
// seconds is understood too.
type Duration time.Duration

// MarshalJSON writes d as text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads text such as "90s", or a number of seconds.
func (d *Duration) UnmarshalJSON(text []byte) error {
	var seconds float64
	if json.Unmarshal(text, &seconds) == nil {
		*d = Duration(seconds * float64(time.Second))
		return nil
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(s)
	*d = Duration(parsed)
	return err
}

// Error is the body of every answer that is not a success.
type Error struct {
	Error struct {
		Code   string `json:"code"`   // "not_found"
		Detail string `json:"detail"` // what was wrong, where, what to do
	} `json:"error"`
}

// Page is what every listing has beside its items.
type Page struct {
	Next  string `json:"next,omitempty"` // page_token of the next page; absent on the last
	Index uint64 `json:"index"`          // log index that the page was read at
}

// Outcome is the answer to every write: what was and what is, or with dry_run
// what would be.
type Outcome[T any] struct {
	Before *T     `json:"before,omitempty"` // absent: there was nothing
	After  *T     `json:"after,omitempty"`  // absent: nothing is left
	Index  uint64 `json:"index"`            // log index of the change
	DryRun bool   `json:"dry_run,omitempty"`
}

// Entry is a registration entry.
type Entry struct {
	ID            string    `json:"id,omitempty"`
	SPIFFEID      string    `json:"spiffe_id"`
	ParentID      string    `json:"parent_id,omitempty"`
	Selectors     []string  `json:"selectors"` // "unix:uid:1000"
	FederatesWith []string  `json:"federates_with,omitempty"`
	X509TTL       Duration  `json:"x509_svid_ttl,omitzero"`
	JWTTTL        Duration  `json:"jwt_svid_ttl,omitzero"`
	DNSNames      []string  `json:"dns_names,omitempty"`
	Hint          string    `json:"hint,omitempty"`
	Admin         bool      `json:"admin,omitempty"`
	Downstream    bool      `json:"downstream,omitempty"`
	StoreSVID     bool      `json:"store_svid,omitempty"`
	ExpiresAt     time.Time `json:"expires_at,omitzero"`
	CreatedAt     time.Time `json:"created_at,omitzero"`
	Revision      uint64    `json:"revision"`
}

// Entries is a page of entries.
type Entries struct {
	Entries []Entry `json:"entries"`
	Page
}

// EntryPatch changes the fields that are present.
type EntryPatch struct {
	SPIFFEID      *string    `json:"spiffe_id,omitempty"`
	ParentID      *string    `json:"parent_id,omitempty"`
	Selectors     *[]string  `json:"selectors,omitempty"`
	FederatesWith *[]string  `json:"federates_with,omitempty"`
	X509TTL       *Duration  `json:"x509_svid_ttl,omitempty"`
	JWTTTL        *Duration  `json:"jwt_svid_ttl,omitempty"`
	DNSNames      *[]string  `json:"dns_names,omitempty"`
	Hint          *string    `json:"hint,omitempty"`
	Admin         *bool      `json:"admin,omitempty"`
	Downstream    *bool      `json:"downstream,omitempty"`
	StoreSVID     *bool      `json:"store_svid,omitempty"`
	ExpiresAt     *time.Time `json:"expires_at,omitempty"`
	IfRevision    *uint64    `json:"if_revision,omitempty"` // refuse unless the entry has this revision
}

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

// Authority is a signing authority of this domain.
type Authority struct {
	ID           string    `json:"id"`
	Use          string    `json:"use"` // "x509", "jwt"
	KeyType      string    `json:"key_type"`
	Status       string    `json:"status"` // "prepared", "active", "old"
	Tainted      bool      `json:"tainted,omitempty"`
	NotBefore    time.Time `json:"not_before"`
	NotAfter     time.Time `json:"not_after"`
	PreparedAt   time.Time `json:"prepared_at,omitzero"`
	ActivatedAt  time.Time `json:"activated_at,omitzero"`
	OldAt        time.Time `json:"old_at,omitzero"`
	VouchesUntil time.Time `json:"vouches_until,omitzero"`
	Earliest     time.Time `json:"earliest_activation,omitzero"` // of a prepared one: the end of the publication window
	Ready        bool      `json:"ready,omitempty"`              // it may be activated now
}

// Authorities are all of them.
type Authorities struct {
	Authorities []Authority `json:"authorities"`
}

// Steps is what a revocation did, in order.
type Steps struct {
	Steps []Step `json:"steps"`
}

// Step is one change of an authority.
type Step struct {
	Action string `json:"action"` // "activate", "taint", "remove"
	Outcome[Authority]
}

// Agent is a host that has shown what it is.
type Agent struct {
	ID           string    `json:"id"`
	Method       string    `json:"method"`
	Selectors    []string  `json:"selectors"`
	CertSerial   string    `json:"cert_serial,omitempty"`
	CertNotAfter time.Time `json:"cert_not_after,omitzero"`
	AttestedAt   time.Time `json:"attested_at,omitzero"`
	Banned       bool      `json:"banned,omitempty"`
	Version      string    `json:"version,omitempty"`
}

// Agents is a page of agents.
type Agents struct {
	Agents []Agent `json:"agents"`
	Page
}

// Status is a node, its cluster and its domain.
type Status struct {
	TrustDomain string            `json:"trust_domain"`
	Node        string            `json:"node"`
	Version     string            `json:"version"`
	StartedAt   time.Time         `json:"started_at"`
	Ready       bool              `json:"ready"`
	Reasons     []string          `json:"reasons"`
	Leader      string            `json:"leader,omitempty"`
	Leading     bool              `json:"leading"`
	Members     []Member          `json:"members"`
	Index       uint64            `json:"index"`
	Digest      string            `json:"digest"` // of the whole state at Index, hex
	Staleness   Duration          `json:"staleness"`
	Sequence    uint64            `json:"sequence"` // of our bundle
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

// MintX509 asks for an X.509-SVID outside of registration.
type MintX509 struct {
	CSR string   `json:"csr"` // PEM
	TTL Duration `json:"ttl,omitzero"`
}

// X509SVID is a signed certificate chain.
type X509SVID struct {
	SPIFFEID  string    `json:"spiffe_id"`
	Chain     string    `json:"chain"` // PEM, leaf first
	ExpiresAt time.Time `json:"expires_at"`
}

// MintJWT asks for a JWT-SVID outside of registration.
type MintJWT struct {
	SPIFFEID string   `json:"spiffe_id"`
	Audience []string `json:"audience"`
	TTL      Duration `json:"ttl,omitzero"`
}

// JWTSVID is a signed token.
type JWTSVID struct {
	SPIFFEID  string    `json:"spiffe_id"`
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

// AuditRecord says who changed what, why and when, or was refused.
type AuditRecord struct {
	Index     uint64       `json:"index"`
	At        time.Time    `json:"at"`
	Actor     string       `json:"actor"`
	Cause     string       `json:"cause,omitempty"`
	RequestID string       `json:"request_id"`
	Kind      string       `json:"kind"`
	Subject   string       `json:"subject"`
	Fields    []AuditField `json:"fields"`
	Refused   string       `json:"refused,omitempty"` // the refusal's code
	Detail    string       `json:"detail,omitempty"`
	Head      string       `json:"head"` // of the chain after this record, hex
}

// AuditField is one difference.
type AuditField struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// AuditRecords is part of the trail.
type AuditRecords struct {
	Records []AuditRecord `json:"records"`
}

// AuditVerified is the answer to a verification that found no break.
type AuditVerified struct {
	Records int `json:"records"`
}

// LogLevel is how much a node logs.
type LogLevel struct {
	Level  string `json:"level"`
	Launch string `json:"launch,omitempty"` // what it was started with
}
