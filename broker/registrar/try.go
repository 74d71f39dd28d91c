package registrar

import (
	"bytes"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// try applies c to a copy of view and returns what would be.
func try(view *state.View, act broker.Act, c state.Command) (*state.View, error) {
	entry, err := state.Encode(act, c)
	if err != nil {
		return nil, err
	}
	var snapshot bytes.Buffer
	if _, err := view.WriteTo(&snapshot); err != nil {
		return nil, err
	}
	m := state.NewMachine()
	if err := m.Restore(&snapshot); err != nil {
		return nil, err
	}
	applied, err := m.Apply(view.Index()+1, entry)
	if err != nil {
		return nil, err
	}
	if applied.Refusal != nil {
		return nil, applied.Refusal
	}
	return m.View(), nil
}
