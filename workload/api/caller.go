package api

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/workload/grant"
)

// caller is a process that called, and what was observed of it then.
type caller struct {
	process   attest.Process
	selectors []attest.Selector
}

// identify observes the process that called. Its error is a status.
func (s *service) identify(ctx context.Context) (caller, error) {
	process, ok := s.caller(ctx)
	if !ok {
		return caller{}, status.Error(codes.PermissionDenied, "the process that called is not known: connect to the Workload API's own socket")
	}
	selectors, err := s.attestor.Attest(ctx, process)
	switch {
	case err == nil:
		return caller{process, selectors}, nil
	case errors.Is(err, attest.ErrProcessLost):
		return caller{}, status.Errorf(codes.PermissionDenied, "%v", err)
	case ctx.Err() != nil:
		return caller{}, ended(ctx)
	}
	s.log.Warn("a caller of the Workload API could not be observed", "pid", process.PID, "uid", process.UID, "error", err)
	return caller{}, status.Errorf(codes.Unavailable, "observe process %d: %v", process.PID, err)
}

// refuse is the table from what can go wrong to the status that a workload
// sees (Workload Endpoint §6). What is not in it is logged in full and not shown.
func (s *service) refuse(ctx context.Context, who caller, err error) error {
	switch {
	case errors.Is(err, grant.ErrNoIdentity):
		return status.Errorf(codes.PermissionDenied, "%v, which was observed as %s", err, observed(who.selectors))
	case ctx.Err() != nil:
		return ended(ctx)
	case errors.Is(err, ca.ErrNotReady), broker.CodeOf(err) == broker.Unavailable:
		return status.Errorf(codes.Unavailable, "%v", err)
	}
	s.log.Error("a call of the Workload API failed", "pid", who.process.PID, "uid", who.process.UID, "error", err)
	return status.Error(codes.Internal, "internal error: the node's log says more")
}

// ended is why a call whose context ended was not finished.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, errStopping) {
		return status.Errorf(codes.Unavailable, "%v", cause)
	}
	return status.FromContextError(ctx.Err()).Err()
}

// maxObservedBytes bounds what a refusal tells of the caller.
const maxObservedBytes = 1024

// check asks once more, before something is sent, whether the process is still
// the one that was observed. Its error is a status.
func (c caller) check() error {
	err := c.process.Alive()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, attest.ErrProcessLost):
		return status.Errorf(codes.PermissionDenied, "%v", err)
	}
	return status.Errorf(codes.Unavailable, "%v", err)
}

// observed lists selectors for the person who wonders why none of the entries
// matches. They are the caller's own.
func observed(selectors []attest.Selector) string {
	var text strings.Builder
	for i, s := range selectors {
		if text.Len()+len(s.String()) > maxObservedBytes {
			fmt.Fprintf(&text, " and %d more", len(selectors)-i)
			break
		}
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(s.String())
	}
	if text.Len() == 0 {
		return "nothing at all"
	}
	return text.String()
}
