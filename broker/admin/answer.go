package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
)

// What only this edge refuses.
const (
	methodNotAllowed     broker.Code = "method_not_allowed"
	bodyTooLarge         broker.Code = "body_too_large"
	unsupportedMediaType broker.Code = "unsupported_media_type"
	internal             broker.Code = "internal"
)

// errInternal is all that a caller is told of an error that is not for them.
var errInternal = broker.Refuse(internal, "internal error: the node's log says more")

// statuses is the table from a refusal's code to a status.
var statuses = map[broker.Code]int{
	broker.InvalidArgument:    http.StatusBadRequest,
	broker.Unauthenticated:    http.StatusUnauthorized,
	broker.PermissionDenied:   http.StatusForbidden,
	broker.NotFound:           http.StatusNotFound,
	methodNotAllowed:          http.StatusMethodNotAllowed,
	broker.AlreadyExists:      http.StatusConflict,
	broker.Aborted:            http.StatusConflict,
	broker.FailedPrecondition: http.StatusConflict,
	broker.ResourceExhausted:  http.StatusConflict, // as many as there may be: asking more slowly does not help
	bodyTooLarge:              http.StatusRequestEntityTooLarge,
	unsupportedMediaType:      http.StatusUnsupportedMediaType,
	internal:                  http.StatusInternalServerError,
	broker.Unavailable:        http.StatusServiceUnavailable,
}

// refuse answers with an error; one that is not a refusal is logged in full
// and shown to nobody.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if broker.CodeOf(err) == "" && r.Context().Err() != nil {
		return // the caller has gone
	}
	writeError(w, s.shown(w, r, err))
}

// shown is what a caller may know of err.
func (s *server) shown(w http.ResponseWriter, r *http.Request, err error) *broker.Refusal {
	var refusal *broker.Refusal
	if errors.As(err, &refusal) && statuses[refusal.Code] != 0 {
		return refusal
	}
	s.log.Error("a request of the REST API failed", "method", r.Method, "path", r.URL.Path,
		"request_id", w.Header().Get(client.RequestIDHeader), "error", err)
	return errInternal
}

func writeError(w http.ResponseWriter, refusal *broker.Refusal) {
	write(w, statuses[refusal.Code], errorDocument(refusal))
}

func errorDocument(refusal *broker.Refusal) (body client.Error) {
	body.Error.Code, body.Error.Detail = string(refusal.Code), refusal.Detail
	return body
}

// write answers with a JSON document.
func write(w http.ResponseWriter, status int, document any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // a bundle document stays as it is, byte for byte
	if err := encoder.Encode(document); err != nil {
		panic(err) // a document that JSON cannot hold: a mistake in this program
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body.Bytes()) // the caller may have hung up: nothing to do about it
}

// reply is an answer that is more than a document with status 200.
type reply interface{ send(http.ResponseWriter) }

// created is the answer to a request that made a resource.
type created struct {
	path     string
	document any
}

func (c created) send(w http.ResponseWriter) {
	w.Header().Set("Location", c.path)
	write(w, http.StatusCreated, c.document)
}
