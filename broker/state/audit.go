package state

import (
	"crypto/sha256"
	"time"

	"github.com/concord-id/concord/broker"
)

// AuditRecord says who changed what, why and when, or was refused. There is
// one for each command, except for the repetition of one already applied. It
// holds no secret: of a sealed key and of a bundle it says the size and hash.
type AuditRecord struct {
	Index     uint64 // of the log entry
	At        time.Time
	Actor     string
	Cause     string
	RequestID string
	Kind      string // "put_entry"
	Subject   string // what it is about: an ID, a trust domain, "x509/<authority>"
	Fields    []AuditField
	Code      broker.Code // "" if it was done, else why it was refused
	Detail    string      // of the refusal

	// Head is the chain's head after this record: SHA-256 of the head before
	// and Statement. The head before the first record is all zero.
	Head [sha256.Size]byte
}

// AuditField is one difference between what was and what is. Long values are
// shortened and end in their size and hash.
type AuditField struct {
	Name   string // "entry/5f0c….ttl"
	Before string // "" if it was not there
	After  string // "" if it is not there any more
}
