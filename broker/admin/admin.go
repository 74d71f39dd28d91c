// Package admin is the administrative REST API. It only translates: from
// requests to the registrar's acts, and from what the registrar returns to the
// documents of package client. Who may do what is the registrar's to say.
package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

// Authenticate tells who made a request, from its connection; false if that is
// not known.
type Authenticate func(ctx context.Context) (broker.Caller, bool)

// server translates.
type server struct {
	registrar *registrar.Registrar
	callers   Authenticate
	log       *slog.Logger
}

// New returns the API. It serves a local socket: a request that a browser was
// talked into is refused by its Origin.
func New(r *registrar.Registrar, callers Authenticate, log *slog.Logger) http.Handler {
	return (&server{registrar: r, callers: callers, log: log}).router()
}

// act is what handles a request: it returns what to answer with, or why not.
type act func(ctx context.Context, who broker.Caller, r *request) (any, error)

// router names every route; docs/api/openapi.yaml describes the same ones.
func (s *server) router() *mux.Router {
	router := mux.NewRouter().UseEncodedPath()
	router.NotFoundHandler = http.HandlerFunc(s.noRoute)
	router.MethodNotAllowedHandler = http.HandlerFunc(s.noMethod)
	for _, route := range s.routes() {
		router.Handle("/v1"+route.path, s.handle(route.act)).Methods(route.method)
	}
	router.Handle("/v1/audit", http.HandlerFunc(s.auditTrail)).Methods(http.MethodGet)
	return router
}

type route struct {
	method, path string
	act          act
}

func (s *server) routes() []route {
	return []route{
		{http.MethodGet, "/status", s.status},
		{http.MethodGet, "/entries", s.listEntries},
		{http.MethodPost, "/entries", s.createEntry},
		{http.MethodGet, "/entries/{id}", s.getEntry},
		{http.MethodPatch, "/entries/{id}", s.patchEntry},
		{http.MethodDelete, "/entries/{id}", s.deleteEntry},
		{http.MethodGet, "/bundles", s.listBundles},
		{http.MethodGet, "/bundles/{trust_domain}", s.getBundle},
		{http.MethodPut, "/bundles/{trust_domain}", s.setBundle},
		{http.MethodDelete, "/bundles/{trust_domain}", s.deleteBundle},
		{http.MethodGet, "/federation", s.listRelationships},
		{http.MethodPost, "/federation", s.createRelationship},
		{http.MethodGet, "/federation/{trust_domain}", s.getRelationship},
		{http.MethodPut, "/federation/{trust_domain}", s.setRelationship},
		{http.MethodDelete, "/federation/{trust_domain}", s.deleteRelationship},
		{http.MethodPost, "/federation/{trust_domain}/refresh", s.refresh},
		{http.MethodGet, "/authorities", s.listAuthorities},
		{http.MethodPost, "/authorities/{use}/prepare", s.prepare},
		{http.MethodPost, "/authorities/{use}/{id}/activate", s.activate},
		{http.MethodPost, "/authorities/{use}/{id}/taint", s.taint},
		{http.MethodPost, "/authorities/{use}/{id}/revoke", s.revoke},
	}
}

// handle turns an act into a handler.
func (s *server) handle(do act) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, raw *http.Request) {
		r, who, err := s.admit(w, raw)
		if err != nil {
			s.refuse(w, raw, err)
			return
		}
		answer, err := do(raw.Context(), who, r)
		if err != nil {
			s.refuse(w, raw, err)
			return
		}
		write(w, http.StatusOK, answer)
	})
}

// statuses is the table from a refusal's code to a status.
var statuses = map[broker.Code]int{
	broker.InvalidArgument:    http.StatusBadRequest,
	broker.NotFound:           http.StatusNotFound,
	broker.AlreadyExists:      http.StatusConflict,
	broker.FailedPrecondition: http.StatusPreconditionFailed,
	broker.PermissionDenied:   http.StatusForbidden,
	broker.Unauthenticated:    http.StatusUnauthorized,
	broker.ResourceExhausted:  http.StatusTooManyRequests,
	broker.Aborted:            http.StatusConflict,
	broker.Unavailable:        http.StatusServiceUnavailable,
}

// refuse answers with an error; one that is not a refusal is logged in full
// and shown to nobody.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *broker.Refusal
	if !errors.As(err, &refusal) {
		if r.Context().Err() != nil {
			return // the caller has gone
		}
		s.log.Error("a request of the REST API failed", "method", r.Method, "path", r.URL.Path, "error", err)
		writeError(w, http.StatusInternalServerError, "internal", "internal error: the node's log says more")
		return
	}
	status, ok := statuses[refusal.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	writeError(w, status, string(refusal.Code), refusal.Detail)
}

func writeError(w http.ResponseWriter, status int, code, detail string) {
	var body client.Error
	body.Error.Code, body.Error.Detail = code, detail
	write(w, status, body)
}

func (s *server) noRoute(w http.ResponseWriter, _ *http.Request) {
	writeError(w, http.StatusNotFound, string(broker.NotFound), "there is no such resource: GET /v1/openapi.yaml describes all of them")
}

func (s *server) noMethod(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusMethodNotAllowed, "method_not_allowed", r.Method+" is not understood here: GET /v1/openapi.yaml describes what is")
}
