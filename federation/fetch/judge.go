package fetch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/concord-id/concord/federation"
)

// storeWaits are the pauses between attempts to store one accepted bundle. The
// cluster may be electing a leader; the peer is not asked again for that.
var storeWaits = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}

// storeTimeout bounds one attempt.
const storeTimeout = 15 * time.Second

// judge reads a document that anchor authenticated, and stores it if the guard
// lets it in.
func (q *poller) judge(ctx context.Context, a anchor, p *parcel) (outcome, error) {
	bundle, ignored, err := federation.Parse(q.relationship.TrustDomain, p.document)
	if err != nil {
		return outcome{parcel: p}, documentError(p, err)
	}
	var alarms []string
	for _, i := range ignored {
		if i.Alarm {
			alarms = append(alarms, i.String())
		}
	}
	for attempt := 0; ; attempt++ {
		o, err := q.settle(ctx, a, p, bundle)
		o.alarms = append(alarms, o.alarms...)
		var unsaved *storeError
		if !errors.As(err, &unsaved) || attempt == len(storeWaits) || !sleep(ctx, storeWaits[attempt]) {
			return o, err
		}
	}
}

// storeError is a failure to store, which is no fault of the peer.
type storeError struct{ err error }

func (e *storeError) Error() string {
	return fmt.Sprintf("the peer's new bundle could not be stored, the next poll tries again: %v", e.err)
}
func (e *storeError) Unwrap() error { return e.err }

// settle holds bundle against the latest cut and stores it if that changes
// anything. Whatever was true when the fetch began is looked at again: the
// relationship may be gone, and a key that its domain removed meanwhile admits
// nothing any more.
func (q *poller) settle(ctx context.Context, a anchor, p *parcel, bundle *federation.Bundle) (outcome, error) {
	view := q.pool.ledger.View()
	if r, ok := view.Relationship(q.relationship.TrustDomain); !ok || !sameRelationship(r, q.relationship) {
		return outcome{parcel: p}, errors.New("the relationship changed during the fetch")
	}
	if latest, err := anchorOf(q.relationship, view); err != nil || !latest.same(a) {
		return outcome{parcel: p}, errMoved
	}
	held := view.Bundle(q.relationship.TrustDomain)
	verdict := federation.Admit(bundleOf(held), bundle, federation.Rules{Own: view.TrustDomain(), Holder: view.Holder}, time.Now())
	o := outcome{parcel: p, reason: verdict.Reason, alarms: verdict.Alarms}
	switch verdict.Outcome {
	case federation.Unchanged:
		q.remember(p, held.Digest, verdict)
		return o, nil
	case federation.Accept:
		next, err := federation.Publish(verdict.Bundle)
		if err != nil {
			return o, fmt.Errorf("the peer's bundle cannot be stored: %w", err)
		}
		if err := q.put(ctx, next, digestOf(held)); err != nil {
			return o, &storeError{err}
		}
		q.remember(p, next.Digest, verdict)
		o.changed = true
		return o, nil
	}
	return o, fmt.Errorf("the peer's bundle was refused: %s", verdict.Reason)
}

// put stores next. An error may hide a success; the ledger knows.
func (q *poller) put(ctx context.Context, next *federation.Published, expect [sha256.Size]byte) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := q.pool.store.PutBundle(ctx, next, expect)
	if err != nil && digestOf(q.held()) == next.Digest {
		return nil
	}
	return err
}

// remember keeps the entity tag of a document that is held as a whole. While
// authorities of it are held back it must be looked at again each time, so its
// tag is of no use.
func (q *poller) remember(p *parcel, digest [sha256.Size]byte, v federation.Verdict) {
	q.line.known = validator{}
	if p.etag != "" && len(v.Held) == 0 {
		q.line.known = validator{etag: p.etag, url: p.url, digest: digest}
	}
}

func digestOf(p *federation.Published) [sha256.Size]byte {
	if p == nil {
		return [sha256.Size]byte{}
	}
	return p.Digest
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
