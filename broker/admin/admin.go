// Package admin is the administrative REST API. It only translates: from
// requests to the registrar's acts, and from what the registrar returns to the
// documents of package client. Who may do what is the registrar's to say.
//
// What it refuses itself is what is not a request: an unknown route, query
// parameter or member, a member that appears twice, a body that is too long or
// not JSON, and whatever a web page was talked into asking.
package admin

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"

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
	router    *mux.Router
}

// New returns the API. It serves a local socket: a request that a browser was
// talked into is refused by its Origin.
func New(r *registrar.Registrar, callers Authenticate, log *slog.Logger) http.Handler {
	s := &server{registrar: r, callers: callers, log: log}
	s.router = s.newRouter()
	return s
}

// ServeHTTP gives a request its ID, and lets no panic of one reach the others.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			s.log.Error("a request of the REST API panicked", "method", r.Method, "path", r.URL.Path,
				"request_id", w.Header().Get(client.RequestIDHeader), "panic", p, "stack", string(debug.Stack()))
			writeError(w, errInternal)
		}
	}()
	id, err := requestID(r)
	w.Header().Set(client.RequestIDHeader, id)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.router.ServeHTTP(w, r)
}

// handle turns a route's act into a handler.
func (s *server) handle(at route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, raw *http.Request) {
		r, who, err := s.admit(w, raw, at)
		if err != nil {
			s.refuse(w, raw, err)
			return
		}
		answer, err := at.act(raw.Context(), who, r)
		if err != nil {
			s.refuse(w, raw, err)
			return
		}
		if own, ok := answer.(reply); ok {
			own.send(w)
			return
		}
		write(w, http.StatusOK, answer)
	})
}
