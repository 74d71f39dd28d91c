package ca

import (
	"fmt"
	"time"
)

// Action is what a Step does.
type Action uint8

// The actions of a Step.
const (
	Prepare  Action = iota + 1 // make a new authority and publish it
	Activate                   // sign with it from now on
	Remove                     // take it out of the bundle
)

func (a Action) String() string {
	switch a {
	case Prepare:
		return "prepare"
	case Activate:
		return "activate"
	case Remove:
		return "remove"
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// Step is one thing that the life of a domain's authorities asks for now.
type Step struct {
	Action Action
	Use    Use
	ID     string // the authority's; empty to prepare
	// Revoke is set to remove one that no SVID needs although VouchesUntil is
	// not set: it was prepared and will never sign.
	Revoke bool
	Why    string // for the log and the audit trail
}

// Next decides what is due at now for the authorities of one use, and when to
// look again (zero: not before something changes). Steps are independent of
// each other; the caller reads the state again after carrying some out. A
// domain without an active authority is not founded yet: Next leaves it alone.
func Next(use Use, authorities []Authority, terms Terms, now time.Time) (steps []Step, wake time.Time) {
	var active, prepared *Authority
	look := func(at time.Time) {
		if wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	for i := range authorities {
		switch a := &authorities[i]; {
		case a.Use != use:
		case a.Status == Active:
			active = a
		case a.Status == Prepared:
			prepared = a
		case a.Status == Old && vouchesUntil(*a).After(now):
			look(vouchesUntil(*a))
		case a.Status == Old:
			steps = append(steps, Step{Action: Remove, Use: use, ID: a.ID, Why: "no SVID needs it any more"})
		}
	}
	switch {
	case active == nil:
		return nil, time.Time{}
	case prepared == nil:
		return append(steps, Step{Action: Prepare, Use: use, Why: "there is always a next authority"}), wake
	case prepared.Tainted, !now.Before(prepared.NotAfter):
		why := "it ended before it was used"
		if prepared.Tainted {
			why = "it is tainted and was never used"
		}
		return append(steps, Step{Action: Remove, Use: use, ID: prepared.ID, Revoke: true, Why: why}), wake
	}
	due := activation(*active, *prepared, terms, now)
	if due.After(now) {
		look(due)
		look(prepared.NotAfter)
		return steps, wake
	}
	why := fmt.Sprintf("%s has passed half of its life", active.ID)
	return append(steps, Step{Action: Activate, Use: use, ID: prepared.ID, Why: why}), wake
}

// activation is when prepared should take over from active: when active has
// passed half of its life, but never before prepared has been published for
// the window. A tainted active is replaced as soon as the window allows.
func activation(active, prepared Authority, terms Terms, now time.Time) time.Time {
	due := ActivationDue(active)
	if active.Tainted && due.After(now) {
		due = now
	}
	if earliest := Earliest(prepared, terms.Window); earliest.After(due) {
		due = earliest
	}
	return due
}

// vouchesUntil is when an old authority may leave; one that never learned
// when stays until its own end.
func vouchesUntil(old Authority) time.Time {
	if old.VouchesUntil.IsZero() {
		return old.NotAfter
	}
	return old.VouchesUntil
}
