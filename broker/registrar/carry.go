package registrar

import (
	"context"
	"strconv"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// maxAttempts bounds how often a change is made anew because somebody else
// changed the same thing in between.
const maxAttempts = 16

// carryOut commits c, or only tries it on the state that this node has. The
// view that it returns has c applied, unless the error says that it was
// refused: then it is what c was refused on.
func (r *Registrar) carryOut(ctx context.Context, act broker.Act, c state.Command, dryRun bool) (*state.View, uint64, error) {
	if dryRun {
		view := r.parts.Ledger.View()
		after, err := try(view, act, c)
		if err != nil {
			return view, view.Index(), err
		}
		return after, view.Index(), nil
	}
	return r.commit(ctx, act, c)
}

// retry runs attempt, again as long as it is refused because its precondition
// is out of date, if again allows it. Each attempt is a request of its own,
// always with the same IDs in the same order: a caller who repeats the whole
// meets the answers that the first time met.
func retry(first broker.Act, again bool, attempt func(broker.Act) error) error {
	act := first
	for n := 2; ; n++ {
		err := attempt(act)
		if broker.CodeOf(err) != broker.Aborted || !again || n > maxAttempts {
			return err
		}
		act.RequestID = first.RequestID + "." + strconv.Itoa(n)
	}
}

// domain is the trust domain that this node serves.
func (r *Registrar) domain() (state.Domain, error) {
	domain, ok := r.parts.Ledger.View().Domain()
	if !ok {
		return domain, notSetUp()
	}
	return domain, nil
}

func notSetUp() error {
	return broker.Refuse(broker.Unavailable, "the trust domain is not set up yet: wait until the node is ready and try again")
}

// invalid makes a refusal of what a validation says is wrong.
func invalid(err error) error {
	if err == nil || broker.CodeOf(err) != "" {
		return err
	}
	return broker.Refuse(broker.InvalidArgument, "%v", err)
}
