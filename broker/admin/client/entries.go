package client

import "time"

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
