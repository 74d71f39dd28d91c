package fetch

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/concord-id/concord/federation"
)

// errMoved: what authenticates the endpoint changed while it was being asked,
// so that its answer counts for nothing.
var errMoved = errors.New("the bundle that authenticates the endpoint changed during the fetch")

// rounds bounds the fetches of one poll: a second one only after errMoved.
const rounds = 2

// outcome is what a poll came to.
type outcome struct {
	parcel  *parcel // nil if nothing was fetched
	changed bool    // another bundle is stored now
	reason  string  // the guard's, in words
	alarms  []string
}

// poll fetches once and records how it went. Whatever happens in it, the poller
// goes on.
func (q *poller) poll(ctx context.Context) {
	begun := time.Now()
	q.attempt(begun)
	var o outcome
	var err error
	for range rounds {
		o, err = q.try(ctx)
		if !errors.Is(err, errMoved) {
			break
		}
		q.line.drop()
	}
	if ctx.Err() != nil {
		return // removed, or the node stops: nobody is left to tell
	}
	q.conclude(begun, o, err)
}

// try is one fetch, judged and stored. A panic in it is its error.
func (q *poller) try(ctx context.Context) (o outcome, err error) {
	defer func() {
		if r := recover(); r != nil {
			q.log().Error("a poll panicked", slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
			q.line.drop()
			err = errors.New("the poll failed by a defect of Concord: its log has the details, please report them")
		}
	}()
	view := q.pool.ledger.View()
	held := view.Bundle(q.relationship.TrustDomain)
	by, err := anchorOf(q.relationship, view)
	if err != nil {
		return outcome{}, err
	}
	e := errand{
		relationship: q.relationship,
		anchor:       by,
		held:         held,
		keep:         bundleOf(held).PollInterval() <= q.pool.fetcher.limits.KeepUpTo,
	}
	fetching, cancel := context.WithTimeout(ctx, q.pool.fetcher.limits.Whole)
	defer cancel()
	got, err := q.pool.fetcher.fetch(fetching, e, &q.line)
	if err != nil {
		return outcome{}, err
	}
	if got.unchanged {
		return q.confirm(got, held), nil
	}
	return q.judge(ctx, by, got)
}

// confirm takes a "not modified": what is held is the newest, and if its keys
// have ended meanwhile somebody has to hear it.
func (q *poller) confirm(p *parcel, held *federation.Published) outcome {
	o := outcome{parcel: p, reason: "not modified"}
	if now := time.Now(); ended(held.Bundle, now) {
		o.alarms = federation.Admit(held.Bundle, held.Bundle, federation.Rules{}, now).Alarms
	}
	return o
}

// ended reports whether no X.509 authority of b is valid any more.
func ended(b *federation.Bundle, now time.Time) bool {
	for _, c := range b.X509 {
		if now.Before(c.NotAfter) {
			return false
		}
	}
	return len(b.X509) > 0
}

// attempt records that a poll begins.
func (q *poller) attempt(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.progress.Polls++
	q.progress.LastAttempt = now
}

// conclude records how a poll ended.
func (q *poller) conclude(begun time.Time, o outcome, err error) {
	now := time.Now()
	q.mu.Lock()
	before := q.progress
	if err != nil {
		q.progress.LastError = err.Error()
	} else {
		q.progress.LastError = ""
		q.progress.LastSuccess = now
	}
	if err == nil || len(o.alarms) > 0 {
		q.progress.Alarms = o.alarms
	}
	if o.changed {
		q.progress.Changes++
	}
	if o.parcel != nil && o.parcel.bytes > 0 {
		q.progress.Bytes = o.parcel.bytes
	}
	q.mu.Unlock()
	q.report(before, o, err, now.Sub(begun))
}

func (q *poller) log() *slog.Logger {
	return q.pool.log.With(slog.String("trust_domain", q.relationship.TrustDomain.Name()))
}
