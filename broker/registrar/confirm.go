package registrar

import (
	"context"

	"github.com/concord-id/concord/broker"
)

// confirmed does what may answer NotFound. What this node does not have, another
// may have written a moment ago: before it says so, it makes sure with a leader
// that it has everything, and looks again (DESIGN §2.12). Without a leader the
// answer is Unavailable.
func confirmed[T any](ctx context.Context, r *Registrar, do func() (T, error)) (T, error) {
	out, err := do()
	if broker.CodeOf(err) != broker.NotFound {
		return out, err
	}
	if unsure := r.parts.Ledger.Confirm(ctx); unsure != nil {
		return out, unsure
	}
	return do()
}
