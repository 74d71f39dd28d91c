package node

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readiness is the body of /ready.
type readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"` // why not, each a sentence; a peer is never one
}

// readiness says whether this node can issue, now.
func (n *Node) readiness() readiness {
	r := readiness{Reasons: []string{}}
	for _, err := range []error{n.truth.fresh(), n.issuer.Ready(time.Now()), n.keeper.Trouble(), n.troubleWithKEK()} {
		if err != nil {
			// Several errors joined are a line each.
			r.Reasons = append(r.Reasons, strings.Split(err.Error(), "\n")...)
		}
	}
	r.Ready = len(r.Reasons) == 0
	return r
}

// opsHandler serves /live, /ready and /metrics.
func (n *Node) opsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		r := n.readiness()
		status := http.StatusOK
		if !r.Ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, r)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.metrics(), promhttp.HandlerOpts{}))
	return mux
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // the caller may have hung up: nothing to do about it
}

// serveHTTP runs an HTTP server as a part of the node.
func (n *Node) serveHTTP(name string, server *http.Server, serve func() error) {
	n.open(name, func(ctx context.Context) error {
		ended := make(chan error, 1)
		go func() { ended <- serve() }()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
		}
		patience, cancel := context.WithTimeout(context.Background(), doorPatience)
		defer cancel()
		if err := server.Shutdown(patience); err != nil {
			server.Close()
		}
		if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}
