package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"

	"github.com/concord-id/concord/broker/audit"
	"github.com/concord-id/concord/broker/registrar"
)

func openTrail(dir string, log *slog.Logger) (*audit.Trail, error) {
	trail, err := audit.Open(audit.Options{Dir: dir, Log: log})
	if err != nil {
		return nil, fmt.Errorf("open the audit trail: %w", err)
	}
	return trail, nil
}

// trailReader is the audit trail as the registrar shows it.
type trailReader struct{ trail *audit.Trail }

func (t trailReader) Records(ctx context.Context, f registrar.AuditFilter) iter.Seq2[registrar.AuditRecord, error] {
	wanted := audit.Filter{
		Actor: f.Actor, Kind: f.Kind, Subject: f.Subject, RequestID: f.RequestID, Refused: f.Refused,
		Since: f.From, Until: f.To, After: f.After, Before: f.Before, Limit: f.Limit,
	}
	if f.Follow {
		return t.trail.Follow(ctx, wanted)
	}
	return func(yield func(registrar.AuditRecord, error) bool) {
		records, err := t.trail.Query(ctx, wanted)
		if err != nil {
			yield(registrar.AuditRecord{}, err)
			return
		}
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Verify fails if a record that this node had is missing, or is not what was written.
func (t trailReader) Verify(ctx context.Context) (registrar.AuditReport, error) {
	report, err := t.trail.Verify(ctx)
	if err != nil {
		return registrar.AuditReport{}, err
	}
	out := registrar.AuditReport{Records: report.Records, Restored: report.Restored}
	for _, g := range report.Gaps {
		out.Missing = append(out.Missing, registrar.AuditGap{From: g.After + 1, Until: g.Until, Reason: g.Reason})
	}
	if !report.Sound() {
		return out, errors.New(report.String())
	}
	return out, nil
}
