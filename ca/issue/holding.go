package issue

import (
	"math/rand/v2"
	"time"

	"github.com/concord-id/concord/ca"
)

// holding is one thing that the Issuer signs with, and when to care for it.
type holding struct {
	authorityID string    // "": holds nothing
	end         time.Time // of what it holds
	renewal     time.Time // when to replace it although its authority is active
	turn        time.Time // when to replace it by the authority in next; zero: not waiting
	next        string
	retry       time.Time // not before this moment after a failure
	failures    int
	err         error // of the last failure; nil after a success
}

// drop forgets what h holds if its authority left the bundle or it ended.
func (h *holding) drop(authorities []ca.Authority, now time.Time) bool {
	if h.authorityID == "" || (published(h.authorityID, authorities) && now.Before(h.end)) {
		return false
	}
	*h = holding{retry: h.retry, failures: h.failures, err: h.err}
	return true
}

// isDue reports whether h must be replaced now, by the authority active.
func (h *holding) isDue(active string, now time.Time) bool {
	switch {
	case now.Before(h.retry):
		return false
	case h.authorityID == "":
		return true
	case h.authorityID == active:
		h.turn, h.next = time.Time{}, ""
		return !now.Before(h.renewal)
	case h.next != active:
		h.turn, h.next = now.Add(rand.N(turnJitter)), active
	}
	return !now.Before(h.turn)
}

// wake is when h wants to be looked at again if nothing changes.
func (h *holding) wake() time.Time {
	wake := time.Now().Add(time.Hour)
	for _, at := range []time.Time{h.end, h.renewal, h.turn, h.retry} {
		if at.After(time.Now()) {
			wake = earliest(wake, at)
		}
	}
	return wake
}

// renewal is when half of an intermediate's life is over, up to a twentieth
// earlier so that nodes started together do not ask together, and never at
// once: one that ends with its root has no half to speak of.
func renewal(in *Intermediate, now time.Time) time.Time {
	life := max(in.NotAfter().Sub(now), 0)
	return now.Add(max(life/2-rand.N(life/20+1), time.Second))
}

func activeOf(authorities []ca.Authority) (ca.Authority, bool) {
	for _, a := range authorities {
		if a.Status == ca.Active {
			return a, true
		}
	}
	return ca.Authority{}, false
}

func published(id string, authorities []ca.Authority) bool {
	for _, a := range authorities {
		if a.ID == id {
			return true
		}
	}
	return false
}
