package admin

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"iter"
	"math"
	"net/http"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

// auditParameters are what a query of the trail may ask for.
var auditParameters = []string{
	"actor", "kind", "subject", "request_id", "refused", "since", "until", "after", "before", "limit", "follow",
}

// maxRecords is the most that one query answers with.
const maxRecords = 10_000

// followPatience is how long one who follows the trail may not read.
const followPatience = time.Minute

func (s *server) audit(ctx context.Context, who broker.Caller, r *request) (any, error) {
	filter, err := r.auditFilter()
	if err != nil {
		return nil, err
	}
	if filter.Follow && !r.query.Has("after") {
		if filter.After, err = s.newest(ctx, who); err != nil {
			return nil, err
		}
	}
	records, err := s.registrar.Audit(ctx, who, filter)
	if err != nil {
		return nil, err
	}
	if filter.Follow {
		return following{s, r.http, records}, nil
	}
	out := client.AuditRecords{Records: []client.AuditRecord{}}
	for record, err := range records {
		if err != nil {
			return nil, err
		}
		out.Records = append(out.Records, showRecord(record))
	}
	return out, nil
}

func (r *request) auditFilter() (f registrar.AuditFilter, err error) {
	f.Actor, f.Kind, f.Subject, f.RequestID = r.query.Get("actor"), r.query.Get("kind"), r.query.Get("subject"), r.query.Get("request_id")
	if f.Refused, err = r.flag("refused"); err != nil {
		return f, err
	}
	if f.Follow, err = r.flag("follow"); err != nil {
		return f, err
	}
	if f.From, err = r.moment("since"); err != nil {
		return f, err
	}
	if f.To, err = r.moment("until"); err != nil {
		return f, err
	}
	if f.After, err = r.number("after", 0, math.MaxUint64); err != nil {
		return f, err
	}
	if f.Before, err = r.number("before", 1, math.MaxUint64); err != nil {
		return f, err
	}
	limit, err := r.number("limit", 1, maxRecords)
	f.Limit = int(limit)
	if err == nil && f.Follow && (r.query.Has("until") || r.query.Has("before") || r.query.Has("limit")) {
		return f, broker.Refuse(broker.InvalidArgument, "what is followed has no end: ask for until, before or limit without follow")
	}
	return f, err
}

// newest is the log index that there is now.
func (s *server) newest(ctx context.Context, who broker.Caller) (uint64, error) {
	status, err := s.registrar.Status(ctx, who)
	return status.Index, err
}

func (s *server) verifyAudit(ctx context.Context, who broker.Caller, _ *request) (any, error) {
	report, err := s.registrar.VerifyAudit(ctx, who)
	if err != nil {
		return nil, err
	}
	out := client.AuditVerified{Records: report.Records, Restored: report.Restored}
	for _, g := range report.Missing {
		out.Missing = append(out.Missing, client.AuditGap(g))
	}
	return out, nil
}

// following answers with records as they come, a document a line, until the
// caller goes. If it ends otherwise, the last line is an error document.
type following struct {
	server  *server
	http    *http.Request
	records iter.Seq2[registrar.AuditRecord, error]
}

func (f following) send(w http.ResponseWriter) {
	// The server's deadlines are for requests that end; a writer that knows none
	// has none to lift.
	stream := http.NewResponseController(w)
	_ = stream.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", client.StreamType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	encoder := json.NewEncoder(w)
	if stream.Flush() != nil {
		return
	}
	for record, err := range f.records {
		if f.http.Context().Err() != nil {
			return
		}
		_ = stream.SetWriteDeadline(time.Now().Add(followPatience))
		if err != nil {
			_ = encoder.Encode(errorDocument(f.server.shown(w, f.http, err)))
			return
		}
		if encoder.Encode(showRecord(record)) != nil || stream.Flush() != nil {
			return
		}
	}
}

func showRecord(r registrar.AuditRecord) client.AuditRecord {
	out := client.AuditRecord{
		Index: r.Index, At: r.At, Actor: r.Actor, Cause: r.Cause, RequestID: r.RequestID, Kind: r.Kind, Subject: r.Subject,
		Fields: []client.AuditField{}, Refused: string(r.Code), Detail: r.Detail, Head: hex.EncodeToString(r.Head[:]),
	}
	for _, f := range r.Fields {
		out.Fields = append(out.Fields, client.AuditField{Record: f.Record, Name: f.Name, Before: f.Before, After: f.After})
	}
	return out
}
