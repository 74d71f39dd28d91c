// Package ca is the life of a signing authority and the shape of what it
// signs: prepared, active, old, removed; nothing signs before it is published.
package ca

import (
	"fmt"
	"time"
)

// Use is what an authority signs.
type Use uint8

// The uses of authorities. Their numbers are in the log and never change.
const (
	X509 Use = 1
	JWT  Use = 2
)

func (u Use) String() string {
	switch u {
	case X509:
		return "x509"
	case JWT:
		return "jwt"
	}
	return fmt.Sprintf("use(%d)", uint8(u))
}

// KeyType is the kind of an authority's key.
type KeyType string

// The kinds of keys. Ed25519 is not here because JWT-SVID §2.1 does not allow it.
const (
	P256    KeyType = "ec-p256"
	P384    KeyType = "ec-p384"
	RSA2048 KeyType = "rsa-2048"
	RSA4096 KeyType = "rsa-4096"
)

// Status is where an authority is in its life. A removed authority is no longer in the state.
type Status uint8

// The stages of an authority's life. Their numbers are in the log and never change.
const (
	Prepared Status = 1 // published, signs nothing yet
	Active   Status = 2 // signs
	Old      Status = 3 // still vouches for what it signed
)

func (s Status) String() string {
	switch s {
	case Prepared:
		return "prepared"
	case Active:
		return "active"
	case Old:
		return "old"
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// Authority is a signing key's public half and its life. At most one of a use
// is prepared and exactly one is active once the domain exists.
type Authority struct {
	ID      string // X509: subject key identifier in lower-case hex; JWT: the kid
	Use     Use
	KeyType KeyType
	Status  Status
	Tainted bool // its key may be in other hands: everything it signed is replaced at once

	// Public is what the bundle shows: a DER certificate (X509) or a DER
	// SubjectPublicKeyInfo (JWT).
	Public []byte
	// Sealed is the private key as the key manager returned it: ciphertext, or
	// a reference into a KMS. Never a key in clear. Empty for an authority that
	// the cluster only publishes: it is old from the beginning.
	Sealed []byte

	NotBefore, NotAfter time.Time

	PreparedAt  time.Time
	ActivatedAt time.Time // zero until active
	OldAt       time.Time // zero until old
	// VouchesUntil is when the last SVID that it signed has ended on the
	// slowest node; zero until old.
	VouchesUntil time.Time
	// LargestHint is the largest refresh hint served since it was published.
	LargestHint time.Duration
}
