package client

import "time"

// Authority is a signing authority of this domain.
type Authority struct {
	ID           string    `json:"id"`  // "" on a dry run that would make it
	Use          string    `json:"use"` // "x509", "jwt"
	KeyType      string    `json:"key_type"`
	Status       string    `json:"status"` // "prepared", "active", "old"
	Tainted      bool      `json:"tainted,omitempty"`
	Exposed      bool      `json:"exposed,omitempty"` // a compromised member could open its key
	NotBefore    time.Time `json:"not_before,omitzero"`
	NotAfter     time.Time `json:"not_after,omitzero"`
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
