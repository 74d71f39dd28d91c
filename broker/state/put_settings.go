package state

import (
	"slices"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
)

// PutSettings replaces the domain's settings. It was made from a
// configuration, not from what it replaces, so the last writer wins.
type PutSettings struct {
	Settings Settings
}

func (c PutSettings) kind() kind      { return kindPutSettings }
func (c PutSettings) subject() string { return homeShape.name }

func (c PutSettings) fields(v visitor) Command {
	v.group(1, "settings", func() { settingsFields(v, &c.Settings) })
	return c
}

// Validate says which setting is wrong.
func (c PutSettings) Validate() error { return c.Settings.Validate() }

func (c PutSettings) apply(d *draft) error {
	before, err := d.home()
	if err != nil {
		return err
	}
	if c.Settings == before.Settings {
		return nil
	}
	after := *before
	after.Settings = c.Settings
	after.PastHint, after.PastHintUntil = before.hintInUse(d.act.At)
	d.domain.put(d, &after)
	d.raiseHints(c.Settings.RefreshHint)
	if err := d.publish(&after); err != nil {
		return broker.Refuse(broker.InvalidArgument, "%v", err)
	}
	d.change.Settings = true
	return nil
}

// hintInUse is the largest refresh hint that somebody may act on who fetched
// our bundle up to at, and until when. Hints that overlap count as one, of the
// largest and until the last.
func (h *home) hintInUse(at time.Time) (hint time.Duration, until time.Time) {
	hint = h.Settings.RefreshHint
	until = at.Add(hint)
	if !h.PastHintUntil.After(at) {
		return hint, until
	}
	if h.PastHintUntil.After(until) {
		until = h.PastHintUntil
	}
	return max(hint, h.PastHint), until
}

// raiseHints notes a hint that is served while authorities are prepared: their
// publication window is a multiple of the largest.
func (d *draft) raiseHints(hint time.Duration) {
	for _, a := range slices.Concat(d.authoritiesOf(ca.X509), d.authoritiesOf(ca.JWT)) {
		if a.Status == ca.Prepared && a.LargestHint < hint {
			raised := *a
			raised.LargestHint = hint
			d.authorities.put(d, &raised)
		}
	}
}
