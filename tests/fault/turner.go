package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
)

const (
	turnEvery       = 4 * time.Second
	turnTime        = 5 * time.Second
	authoritiesKept = 4 // of a use; the oldest beyond is revoked
)

// turner is an operator who turns the domain's keys as soon as they may be.
type turner struct {
	c      *campaign
	random *rand.Rand
	turns  int
}

// work goes on until ctx ends.
func (t *turner) work(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, turnEvery)
		m := t.c.machines[t.random.IntN(len(t.c.machines))]
		for _, use := range []string{"x509", "jwt"} {
			t.turn(ctx, m, use)
		}
	}
}

// turn activates a prepared authority whose window has passed, and revokes the
// oldest. Refusals, and answers that do not come, are no matter: the history shows
// what was done.
func (t *turner) turn(ctx context.Context, m *machine, use string) {
	ctx, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	var all client.Authorities
	if m.door.do(ctx, call{method: http.MethodGet, path: client.Path("authorities"), out: &all}) != nil {
		return
	}
	var old []client.Authority
	for _, a := range all.Authorities {
		switch {
		case a.Use != use:
		case a.Status == "prepared" && a.Ready:
			if m.door.do(ctx, call{method: http.MethodPost, path: client.Path("authorities", use, a.ID, "activate")}) == nil {
				t.turns++
			}
		case a.Status == "old":
			old = append(old, a)
		}
	}
	if len(old) > authoritiesKept {
		oldest := old[0]
		for _, a := range old {
			if a.OldAt.Before(oldest.OldAt) {
				oldest = a
			}
		}
		_ = m.door.do(ctx, call{method: http.MethodPost, path: client.Path("authorities", use, oldest.ID, "revoke")})
	}
}
