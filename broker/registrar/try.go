package registrar

import (
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// try decides c on view and returns what would be.
func try(view *state.View, act broker.Act, c state.Command) (*state.View, error) {
	after, applied, err := view.Try(act, c)
	if err != nil {
		return nil, err
	}
	if applied.Refusal != nil {
		return nil, applied.Refusal
	}
	return after, nil
}
