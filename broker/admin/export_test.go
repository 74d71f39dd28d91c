package admin

import (
	"net/http"
	"slices"

	"github.com/gorilla/mux"
)

// ReadDocument is the strict reader of bodies.
var ReadDocument = readDocument

// RouterOf is the router of an API that New returned.
func RouterOf(h http.Handler) *mux.Router { return h.(*server).router }

// Route is what the table of routes says of one.
type Route struct {
	Query []string // its parameters
	Body  bool     // it reads a body
}

// RoutesOf is the table of an API that New returned, by method and path.
func RoutesOf(h http.Handler) map[string]Route {
	all := map[string]Route{}
	for _, at := range h.(*server).routes() {
		all[at.method+" /v1"+at.path] = Route{slices.Sorted(slices.Values(at.query)), at.body}
	}
	return all
}
