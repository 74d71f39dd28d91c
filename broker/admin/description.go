package admin

import (
	"context"
	"net/http"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/docs/api"
)

// description answers with the OpenAPI description of this API.
func (s *server) description(context.Context, broker.Caller, *request) (any, error) {
	return described(api.OpenAPI), nil
}

type described []byte

func (d described) send(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Write(d) // the caller may have hung up: nothing to do about it
}
