package client

import "time"

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
	Record string `json:"record"` // what it is a field of: much follows from one change
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
	Records  int        `json:"records"`
	Restored uint64     `json:"restored,omitempty"` // log index of the backup with which the trail begins; absent: with the domain
	Missing  []AuditGap `json:"missing,omitempty"`
}

// AuditGap is a stretch of the log whose records this node never had, and other
// members have.
type AuditGap struct {
	From   uint64 `json:"from"` // log indexes
	Until  uint64 `json:"until"`
	Reason string `json:"reason"`
}
