package registrar

import (
	"context"
	"io"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// Backup is the whole state at one log index, to be written somewhere.
type Backup struct {
	Index uint64 // of the newest command in it
	view  *state.View
	parts *Parts
}

// Backup returns the state as this node has it now, which is not older than
// what the caller has seen. It holds no key in clear, and whoever has the
// key-encryption key too has the domain: it needs RoleAdmin.
func (r *Registrar) Backup(ctx context.Context, who broker.Caller) (Backup, error) {
	if err := may(who, "take a backup", broker.RoleAdmin); err != nil {
		return Backup{}, err
	}
	if err := r.caughtUp(ctx, who.SeenIndex); err != nil {
		return Backup{}, err
	}
	view := r.parts.Ledger.View()
	if _, known := view.Domain(); !known {
		return Backup{}, broker.Refuse(broker.Unavailable, "the trust domain is not set up yet: wait until the node is ready and try again")
	}
	r.parts.Log.InfoContext(ctx, "a backup is taken", "actor", who.Name, "cause", who.Cause, "request_id", who.RequestID, "index", view.Index())
	return Backup{Index: view.Index(), view: view, parts: &r.parts}, nil
}

// Write writes the backup, in pieces: commands go on being applied meanwhile.
func (b Backup) Write(w io.Writer) error { return b.parts.Cluster.Backup(b.view, w) }
