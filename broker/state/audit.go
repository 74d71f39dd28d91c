package state

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/concord-id/concord/broker"
)

// maxRefusalBytes is how much of a refusal's words is kept.
const maxRefusalBytes = 4096

// AuditRecord says who changed what, why and when, or was refused. There is
// one for each command, except for the repetition of one already decided. It
// holds no secret: of a sealed key it says that there is one.
type AuditRecord struct {
	Index     uint64 // of the log entry
	At        time.Time
	Actor     string
	Cause     string
	RequestID string
	Kind      string       // the command: "put_entry"
	Subject   string       // what it is about: "entry/5f0c…", "bundle/acme.example", "authority/x509/9a…"
	Fields    []AuditField // what is different; none if it was refused
	Code      broker.Code  // "" if it was done, else why it was refused
	Detail    string       // of the refusal, for people: versions may differ in it, so Statement leaves it out

	// Head is the chain's head after this record: ChainHead of the head before
	// and Statement. Before the first record it is all zero.
	Head [sha256.Size]byte
}

// AuditField is one difference between what was and what is. A long value is
// shortened and ends in its size and hash.
type AuditField struct {
	Record string // "entry/5f0c…"; not always the record's Subject: much follows from one command
	Name   string // "x509_svid_ttl"
	Before string // "" if it was not there
	After  string // "" if it is not there any more
}

// Statement is what the audit chain is made of: everything in the record but
// Head and Detail, in bytes that are the same for ever and on every version.
func (r AuditRecord) Statement() []byte {
	e := emitter{layout: plain{}}
	auditFields(&e, &r)
	return e.bytes
}

// ChainHead returns the audit chain's head after a statement.
func ChainHead(before [sha256.Size]byte, statement []byte) [sha256.Size]byte {
	return sha256.Sum256(slices.Concat(before[:], statement))
}

func auditFields(v visitor, r *AuditRecord) {
	v.count(1, "index", &r.Index)
	v.moment(2, "at", &r.At)
	v.text(3, "actor", &r.Actor)
	v.text(4, "cause", &r.Cause)
	v.text(5, "request_id", &r.RequestID)
	v.text(6, "kind", &r.Kind)
	v.text(7, "subject", &r.Subject)
	list(v, 8, "fields", maxAuditRecordFields, &r.Fields, auditFieldFields, func(f AuditField) string { return f.Name })
	word(v, 9, "code", &r.Code)
	v.words(10, "detail", &r.Detail)
}

func auditFieldFields(v visitor, f *AuditField) {
	v.text(1, "record", &f.Record)
	v.text(2, "name", &f.Name)
	v.text(3, "before", &f.Before)
	v.text(4, "after", &f.After)
}

// keepable returns a refusal as it can be written down: its words are UTF-8 and
// not without end.
func keepable(r *broker.Refusal) *broker.Refusal {
	detail := strings.ToValidUTF8(r.Detail, "�")
	if len(detail) > maxRefusalBytes {
		detail = strings.ToValidUTF8(detail[:maxRefusalBytes], "") + "…"
	}
	return &broker.Refusal{Code: r.Code, Detail: detail}
}
