package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"time"

	"github.com/concord-id/concord/federation"
)

// report logs one fetch: where, who answered, what came of it (SPIFFE
// Federation §7.6). What is as it was is debug, so that 10,000 quiet peers are
// quiet; a failure is a warning when it is new.
func (q *poller) report(before federation.Progress, o outcome, err error, took time.Duration) {
	log := q.log().With(slog.String("url", q.shownURL()), slog.Duration("took", took))
	held := q.held()
	if held != nil {
		log = log.With(slog.Uint64("sequence", held.Bundle.Sequence))
	}
	if o.parcel != nil && o.parcel.peer != nil {
		sum := sha256.Sum256(o.parcel.peer.Raw)
		log = log.With(slog.String("peer_certificate", hex.EncodeToString(sum[:])), slog.Time("peer_certificate_ends", o.parcel.peer.NotAfter))
	}
	for _, alarm := range o.alarms {
		if !slices.Contains(before.Alarms, alarm) {
			log.Warn("a bundle needs attention", slog.String("alarm", alarm))
		}
	}
	switch {
	case err != nil && err.Error() != before.LastError:
		log.Warn("bundle fetch failed", slog.String("error", err.Error()))
	case err != nil:
		log.Debug("bundle fetch failed again", slog.String("error", err.Error()))
	case o.changed:
		log.Info("bundle changed", slog.String("change", o.reason))
	case before.LastError != "":
		log.Info("bundle fetch succeeds again", slog.String("outcome", o.reason))
	default:
		log.Debug("bundle confirmed", slog.String("outcome", o.reason))
	}
}

func (q *poller) shownURL() string {
	l, err := locate(nil, q.relationship.URL)
	if err != nil {
		return "not a URL"
	}
	return l.String()
}
