package registrar

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
)

// Outcome is what a write did, or on a dry run would do. Before is nil if there
// was nothing, After is nil if nothing is left.
type Outcome[T any] struct {
	Before, After *T
	// Index is the log index that holds the change; on a dry run it is the index
	// of the state that was looked at.
	Index uint64
	// DryRun says that nothing was changed.
	DryRun bool
	// Warning is what the change does not do by itself, in a sentence; "": nothing.
	Warning string
}

const (
	// readWait bounds how long a read waits for the index its caller has seen.
	readWait = time.Second
	// maxRequestIDBytes bounds what a caller may call a request.
	maxRequestIDBytes = 128
	maxCauseBytes     = 1024
)

// may refuses a caller that has none of roles.
func may(who broker.Caller, what string, roles ...broker.Role) error {
	for _, role := range roles {
		if who.Has(role) {
			return nil
		}
	}
	name := who.Name
	if name == "" {
		name = "the caller"
	}
	return broker.Refuse(broker.PermissionDenied, "%s may not %s: that needs the role %s", name, what, roles[0])
}

// read returns the view for a read: not older than what the caller has seen.
func (r *Registrar) read(ctx context.Context, who broker.Caller, what string) (*state.View, error) {
	if err := may(who, what, broker.RoleReader, broker.RoleAdmin, broker.RoleNode); err != nil {
		return nil, err
	}
	if err := r.caughtUp(ctx, who.SeenIndex); err != nil {
		return nil, err
	}
	return r.parts.Ledger.View(), nil
}

func (r *Registrar) caughtUp(ctx context.Context, index uint64) error {
	if index <= r.parts.Ledger.View().Index() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	if err := r.parts.Ledger.WaitIndex(ctx, index); err != nil {
		return broker.Refuse(broker.Unavailable, "this node has not yet applied log index %d, which you have seen: try again, or ask another node", index)
	}
	return nil
}

// act makes the envelope of a command. Its request ID is the caller's, followed
// by a digest of what was asked for, so that a retry is recognised and the same
// ID on another request is not mistaken for one.
func act(who broker.Caller, operation string, request ...any) (broker.Act, error) {
	id := who.RequestID
	switch {
	case id == "":
		id = rand.Text()
	case len(id) > maxRequestIDBytes:
		return broker.Act{}, broker.Refuse(broker.InvalidArgument, "request ID has %d bytes, the most is %d", len(id), maxRequestIDBytes)
	}
	if len(who.Cause) > maxCauseBytes {
		return broker.Act{}, broker.Refuse(broker.InvalidArgument, "cause has %d bytes, the most is %d", len(who.Cause), maxCauseBytes)
	}
	digest := sha256.New()
	fmt.Fprintln(digest, operation)
	for _, part := range request {
		if err := json.NewEncoder(digest).Encode(part); err != nil {
			return broker.Act{}, fmt.Errorf("digest a request to %s: %w", operation, err)
		}
	}
	cause := who.Cause
	if cause == "" {
		cause = "api"
	}
	return broker.Act{
		Actor:     who.Name,
		Cause:     cause,
		RequestID: id + "." + hex.EncodeToString(digest.Sum(nil)[:8]),
		At:        time.Now().UTC(),
	}, nil
}

// commit proposes c and waits until this node shows what became of it, also of
// a refusal, so that the caller can say what stands in the way.
func (r *Registrar) commit(ctx context.Context, act broker.Act, c state.Command) (*state.View, uint64, error) {
	applied, err := r.parts.Ledger.Propose(ctx, act, c)
	if applied.Index == 0 {
		return r.parts.Ledger.View(), 0, err // it is not, or not known to be, in the log
	}
	if waited := r.parts.Ledger.WaitIndex(ctx, applied.Index); waited != nil && err == nil {
		err = broker.Refuse(broker.Unavailable,
			"the change is committed at log index %d, but this node could not read it back yet: read it again", applied.Index)
	}
	return r.parts.Ledger.View(), applied.Index, err
}
