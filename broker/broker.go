// Package broker is who asks, why, and how they are refused: the words shared
// by everything that administers a trust domain.
package broker

import (
	"errors"
	"fmt"
	"time"
)

// Role is a right that a Caller has been given.
type Role string

const (
	// RoleAdmin may read and change everything.
	RoleAdmin Role = "admin"
	// RoleReader may read everything and change nothing.
	RoleReader Role = "reader"
	// RoleNode is a member of the cluster acting on its own: pollers, rotation.
	RoleNode Role = "node"
)

// Caller is who asks. It is made by the edge that authenticated them, never
// from what they say of themselves.
type Caller struct {
	// Name says who: "unix:uid=0,pid=4711", "node:n1", "spiffe://acme.example/ops".
	Name string
	// Roles are the caller's rights; none means nothing is allowed.
	Roles []Role
	// RequestID makes a retry harmless: the same ID is applied at most once.
	// Empty means the edge did not receive one and registrar makes one.
	RequestID string
	// Cause is why, in the caller's words; "api" or the command's name if they gave none.
	Cause string
	// SeenIndex is the newest log index that an answer to this caller has shown.
	// A read waits up to a second until this node has applied it, so that
	// everybody reads what they wrote, on any node; 0 waits for nothing.
	SeenIndex uint64
}

// Has reports whether the caller was given role.
func (c Caller) Has(role Role) bool {
	for _, r := range c.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// Act is the part of every command that says who did it, why and when. At is
// the proposer's clock: apply never asks the time.
type Act struct {
	Actor     string
	Cause     string
	RequestID string
	At        time.Time
}

// Code is the kind of a refusal. Each edge owns one table from Code to its own
// status; nobody matches text.
type Code string

// The kinds of refusals, named as gRPC names them.
const (
	InvalidArgument    Code = "invalid_argument"
	NotFound           Code = "not_found"
	AlreadyExists      Code = "already_exists"
	FailedPrecondition Code = "failed_precondition"
	PermissionDenied   Code = "permission_denied"
	Unauthenticated    Code = "unauthenticated"
	ResourceExhausted  Code = "resource_exhausted"
	Aborted            Code = "aborted" // somebody else changed it first: read again and retry
	Unavailable        Code = "unavailable"
)

// Refusal is an answer of no, and what to do about it. It crosses nodes
// unchanged.
type Refusal struct {
	Code   Code
	Detail string
}

func (r *Refusal) Error() string { return r.Detail }

// Refuse makes a Refusal; format says what was wrong, where, and what to do.
func Refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the first Refusal in err's chain, "" if there is
// none (the error is then internal and is not for the caller's eyes).
func CodeOf(err error) Code {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}
