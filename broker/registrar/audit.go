package registrar

import (
	"context"
	"iter"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// AuditRecord says who changed what, why and when, or was refused.
type AuditRecord = state.AuditRecord

// AuditFilter says which records are asked for: those that pass all that is
// set. Actor, Kind and Subject are compared whole, or by their beginning if
// they end in "*". The zero value asks for the newest hundred.
type AuditFilter struct {
	After, Before uint64    // log indexes: only records between them; 0: no bound
	From, To      time.Time // by the proposers' clocks: From and later, earlier than To; zero: no bound
	Actor         string
	Kind          string // "put_entry"
	Subject       string
	RequestID     string // as the trail has it: the caller's, a dot, and a digest of the request
	Refused       bool   // only what was refused
	Limit         int    // the newest so many, at most 10,000; 0: 100
	Follow        bool   // all after After, and then new ones as they come; Limit is not looked at
}

// Trail is the audit trail that this node keeps.
type Trail interface {
	// Records yields the records that pass filter, in the order of the log. It
	// ends after the newest, unless filter says to follow. An error is the last
	// that it yields.
	Records(ctx context.Context, filter AuditFilter) iter.Seq2[AuditRecord, error]
	// Verify reads the whole trail and returns what it has, and an error that says
	// where the chain is broken.
	Verify(ctx context.Context) (AuditReport, error)
}

// AuditReport is what a verification found that is sound.
type AuditReport struct {
	Records  int
	Restored uint64 // log index of the backup with which the trail begins; 0: it begins with the domain
	Missing  []AuditGap
}

// AuditGap is a stretch of the log whose records this node never had: other
// members have them.
type AuditGap struct {
	From, Until uint64 // log indexes
	Reason      string
}

// Audit yields the records of the audit trail that pass filter, the oldest
// first.
func (r *Registrar) Audit(ctx context.Context, who broker.Caller, filter AuditFilter) (iter.Seq2[AuditRecord, error], error) {
	if _, err := r.read(ctx, who, "read the audit trail"); err != nil {
		return nil, err
	}
	if filter.Limit < 0 {
		return nil, broker.Refuse(broker.InvalidArgument, "limit %d is negative: give the most records wanted, or 0 for all", filter.Limit)
	}
	return r.parts.Trail.Records(ctx, filter), nil
}

// VerifyAudit checks the chain of this node's audit trail against the state.
// FailedPrecondition says where the chain is broken.
func (r *Registrar) VerifyAudit(ctx context.Context, who broker.Caller) (AuditReport, error) {
	if _, err := r.read(ctx, who, "verify the audit trail"); err != nil {
		return AuditReport{}, err
	}
	report, err := r.parts.Trail.Verify(ctx)
	if err != nil && ctx.Err() == nil && broker.CodeOf(err) == "" {
		err = broker.Refuse(broker.FailedPrecondition, "the audit trail of this node is broken: %v", err)
	}
	return report, err
}
