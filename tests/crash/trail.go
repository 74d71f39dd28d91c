package main

import (
	"fmt"

	"github.com/concord-id/concord/broker/admin/client"
)

// trail is what the audit trail has shown so far.
type trail struct {
	read     uint64            // log index of the newest record
	requests map[string]uint64 // log index at which a request was done
}

// take reads the records since the last time: for each receipt there must be
// one, and no request may be done twice.
func (t *trail) take(records []client.AuditRecord, receipts []receipt) (wrong []string) {
	if t.requests == nil {
		t.requests = map[string]uint64{}
	}
	done := map[uint64]string{}
	for _, r := range records {
		t.read = max(t.read, r.Index)
		if r.Refused != "" {
			continue
		}
		done[r.Index] = r.Subject
		if first, twice := t.requests[r.RequestID]; twice {
			wrong = append(wrong, fmt.Sprintf("request %s was done at log index %d, and again at %d", r.RequestID, first, r.Index))
		}
		t.requests[r.RequestID] = r.Index
	}
	for _, r := range receipts {
		if done[r.index] != r.subject {
			wrong = append(wrong, fmt.Sprintf("the audit trail has no record of the change of %s at log index %d, but of %q", r.subject, r.index, done[r.index]))
		}
	}
	return wrong
}
