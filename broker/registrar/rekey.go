package registrar

import (
	"context"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// KeyCare is how the authorities' keys are sealed, and what is still to be done
// about them after a removal, or because somebody asked.
type KeyCare struct {
	KEK      string    // the ID of the key-encryption key that seals; "" if nothing is sealed, or no member says
	Provided bool      // members have it from their environment
	SealedAt time.Time // of the newest change of the key-encryption key; zero before the first
	Index    uint64    // of it in the log

	Due     state.ResealDue // why another one must take its place
	Pending bool            // one must
	Turning []Turning       // authorities that a compromised member could open
	AtOnce  bool            // these do not wait for the publication window
	Trouble string          // what the leader waits for; "" if nothing stands in the way
}

// Turning is an authority that is to be replaced, or tainted.
type Turning struct {
	Authority ca.Authority
	// Next is the one that takes its place, nil if there is none yet or it needs
	// none. Earliest is when that may sign.
	Next     *ca.Authority
	Earliest time.Time
}

func keyCare(view *state.View, members []MemberStatus) KeyCare {
	sealing, _ := view.Sealing()
	k := KeyCare{KEK: sealing.KEK, SealedAt: sealing.At, Index: sealing.Index, AtOnce: view.TurnAtOnce(), Turning: turning(view)}
	k.Due, k.Pending = view.ResealDue()
	for _, m := range members {
		if m.Leading {
			k.Trouble, k.Provided = m.KeyCare, m.KEKProvided
			if k.KEK == "" {
				k.KEK = m.KEK
			}
		}
	}
	return k
}

func turning(view *state.View) []Turning {
	domain, _ := view.Domain()
	var all []Turning
	for _, a := range view.Turning() {
		t := Turning{Authority: *shown(a)}
		next := withStatus(view, a.Use, ca.Prepared)
		if a.Status == ca.Active && next != nil && !view.Exposed(*next) {
			t.Next, t.Earliest = next, ca.Earliest(*next, domain.Settings.PublicationWindow)
		}
		all = append(all, t)
	}
	return all
}

// Exposed are the IDs of the authorities of a use that a compromised member could
// open, also of those about which nothing is left to do.
func (r *Registrar) Exposed(ctx context.Context, who broker.Caller, use ca.Use) (map[string]bool, error) {
	view, err := r.read(ctx, who, "read authorities")
	if err != nil {
		return nil, err
	}
	exposed := map[string]bool{}
	for _, a := range view.Authorities(use) {
		if view.Exposed(a) {
			exposed[a.ID] = true
		}
	}
	return exposed, nil
}

// Rekeyed is with which key-encryption key the authorities' keys are sealed.
type Rekeyed struct {
	KEK     string // its ID
	Index   uint64 // log index since which it is so; 0: since the domain was made
	Members []KEKHolder
}

// KEKHolder is a member, and whether it seals with the key-encryption key.
type KEKHolder struct {
	Name string
	Has  bool
	Why  string // not; "" if it has
}

// rekeyWait bounds how long Rekey waits for what it asked for.
const rekeyWait = 20 * time.Second

// Rekey has another key-encryption key take the place of that of now, and waits
// until everything is sealed with it. Before and After say who has which. It is
// FailedPrecondition if there cannot be another one, and Unavailable if it is not
// done in time: it goes on by itself then.
func (r *Registrar) Rekey(ctx context.Context, who broker.Caller, dryRun bool) (Outcome[Rekeyed], error) {
	out := Outcome[Rekeyed]{DryRun: dryRun}
	if err := may(who, "change the key-encryption key", broker.RoleAdmin); err != nil {
		return out, err
	}
	if _, err := r.domain(); err != nil {
		return out, err
	}
	if err := r.parts.Cluster.Rekeyable(ctx); err != nil {
		return out, err
	}
	act, err := act(who, "rekey")
	if err != nil {
		return out, err
	}
	before := r.rekeyed(ctx)
	out.Before = &before
	_, out.Index, err = r.carryOut(ctx, act, state.RenewKEK{}, dryRun)
	if err != nil || dryRun {
		return out, err
	}
	if err := r.awaitReseal(ctx, out.Index); err != nil {
		return out, err
	}
	after := r.awaitHolders(ctx)
	out.After, out.Index = &after, after.Index
	return out, nil
}

// awaitReseal waits until everything was sealed anew after asked.
func (r *Registrar) awaitReseal(ctx context.Context, asked uint64) error {
	ctx, cancel := context.WithTimeout(ctx, rekeyWait)
	defer cancel()
	for {
		view := r.parts.Ledger.View()
		if sealing, _ := view.Sealing(); sealing.Index > asked {
			return nil
		}
		if err := r.parts.Ledger.WaitIndex(ctx, view.Index()+1); err == nil {
			continue
		}
		trouble := "the leader has not said why"
		asking, done := context.WithTimeout(context.WithoutCancel(ctx), readWait)
		defer done()
		if k := keyCare(view, r.parts.Cluster.Members(asking)); k.Trouble != "" {
			trouble = k.Trouble
		}
		return broker.Refuse(broker.Unavailable, "a new key-encryption key was asked for at log index %d, and nothing is sealed with one yet: %s. It is not forgotten: concord cluster status shows when it is done", asked, trouble)
	}
}

// awaitHolders gives the members that answer a moment to have what the log says.
func (r *Registrar) awaitHolders(ctx context.Context) Rekeyed {
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	for {
		now := r.rekeyed(ctx)
		waits := false
		for _, m := range now.Members {
			waits = waits || !m.Has && m.Why == behind
		}
		if !waits || ctx.Err() != nil {
			return now
		}
		select {
		case <-time.After(holderLook):
		case <-ctx.Done():
			return now
		}
	}
}

const (
	holderLook = 20 * time.Millisecond
	behind     = "it has not applied the change yet"
)

// rekeyed asks the members with what they seal.
func (r *Registrar) rekeyed(ctx context.Context) Rekeyed {
	view := r.parts.Ledger.View()
	members := r.parts.Cluster.Members(ctx)
	care := keyCare(view, members)
	out := Rekeyed{KEK: care.KEK, Index: care.Index}
	for _, m := range members {
		h := KEKHolder{Name: m.Name, Has: m.Answers && m.KEK == care.KEK}
		switch {
		case !m.Answers:
			h.Why = "it does not answer, and fetches it when it is back"
		case !h.Has:
			h.Why = behind
		}
		out.Members = append(out.Members, h)
	}
	return out
}
