// Package endpoint serves a trust domain's bundle over HTTPS (SPIFFE
// Federation §5), in either profile.
//
// It owns the wire: TLS, connections, caching, conditional requests. It refuses
// to answer with less than it knows to exist: a bundle that is older than the
// asker has seen, or that no leader has confirmed for too long, is not served. It asks
// nobody who they are. The bytes of an answer are made when the bundle changes and
// are only written when somebody asks.
package endpoint

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/concord-id/concord/federation"
)

// catchUp is how long a request waits for a bundle that its sender has seen and
// this node has not.
const catchUp = time.Second

// Source is where the bundle comes from.
type Source interface {
	// Current returns the newest bundle that this node knows. It is asked at
	// every request, so it must not block.
	Current() Current
	// Wait returns when Current's sequence is at least sequence, or with ctx's
	// error when that ends first.
	Wait(ctx context.Context, sequence uint64) error
}

// Current is a bundle and how sure this node is that there is no newer one.
type Current struct {
	Bundle *federation.Published // nil: there is none yet
	// Age is how long ago a leader confirmed that it is the newest; 0 while
	// there is a leader.
	Age time.Duration
	// Stale is set when Age is beyond the staleness limit, or no leader has been
	// heard since this node started. The bundle is then not served.
	Stale bool
}

// Counts is what a Handler has answered since it was made.
type Counts struct {
	Served      uint64 // with the bundle
	NotModified uint64 // 304: the asker has it already
	Unavailable uint64 // 503
	Refused     uint64 // 404 and 405
}

// Handler answers GET and HEAD of "/" with the bundle and everything else with
// 404 or 405. It is safe for concurrent use.
type Handler struct {
	source Source
	page   atomic.Pointer[page]

	served, notModified, unavailable, refused atomic.Uint64
}

// NewHandler returns the Handler of what source has.
func NewHandler(source Source) *Handler { return &Handler{source: source} }

// Counts returns the counts at this moment.
func (h *Handler) Counts() Counts {
	return Counts{
		Served:      h.served.Load(),
		NotModified: h.notModified.Load(),
		Unavailable: h.unavailable.Load(),
		Refused:     h.refused.Load(),
	}
}

// ServeHTTP answers with the bundle, 304 if the asker has it, or 503 if it
// cannot be said which one is the newest (FD-12).
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		h.refused.Add(1)
		refuse(w, http.StatusNotFound, "There is nothing here. The trust bundle is at /.")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.refused.Add(1)
		w.Header()["Allow"] = []string{"GET, HEAD"}
		refuse(w, http.StatusMethodNotAllowed, "The trust bundle can be read with GET or HEAD.")
		return
	}
	known := r.Header["If-None-Match"]
	current, refusal := h.current(r.Context(), known)
	if refusal != "" {
		h.unavailable.Add(1)
		w.Header()["Retry-After"] = []string{"1"}
		refuse(w, http.StatusServiceUnavailable, refusal)
		return
	}
	h.answer(w, r, current, known)
}

// answer writes the bundle, or that the asker knows it.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, current Current, known []string) {
	p := h.pageOf(current.Bundle)
	header := w.Header()
	header["Etag"] = p.etag
	header["Cache-Control"] = p.cacheControl
	if current.Age > 0 {
		header["Cache-Control"] = revalidate
		header["Age"] = []string{strconv.FormatInt(int64(current.Age/time.Second), 10)}
	}
	if len(known) > 0 && matches(known, p.etag[0]) {
		h.notModified.Add(1)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.served.Add(1)
	header["Content-Type"] = contentType
	header["Content-Length"] = p.length
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(p.document) // an error is the asker's, who is gone
	}
}

// current returns what may be served to somebody who knows these ETags, or why
// nothing may be.
func (h *Handler) current(ctx context.Context, known []string) (Current, string) {
	current := h.source.Current()
	if len(known) > 0 && current.Bundle != nil && !current.Stale {
		if newest := newestKnown(known, current.Bundle.ETag); newest > current.Bundle.Bundle.Sequence {
			ctx, cancel := context.WithTimeout(ctx, catchUp)
			err := h.source.Wait(ctx, newest)
			cancel()
			if current = h.source.Current(); err != nil && (current.Bundle == nil || current.Bundle.Bundle.Sequence < newest) {
				return current, "This node is behind what you have seen. Ask again, or ask another node."
			}
		}
	}
	switch {
	case current.Bundle == nil:
		return current, "There is no trust bundle yet. Ask again."
	case current.Stale:
		return current, "This node has lost touch with its cluster and cannot tell whether its trust bundle is the newest. Ask again, or ask another node."
	}
	return current, ""
}

// pageOf returns the bytes of p, made once.
func (h *Handler) pageOf(p *federation.Published) *page {
	if cached := h.page.Load(); cached != nil && cached.of == p {
		return cached
	}
	made := newPage(p)
	h.page.Store(made)
	return made
}

// refuse answers with words. No cache may keep them.
func refuse(w http.ResponseWriter, code int, words string) {
	header := w.Header()
	header["Content-Type"] = []string{"text/plain; charset=utf-8"}
	header["Cache-Control"] = []string{"no-store"}
	w.WriteHeader(code)
	_, _ = w.Write([]byte(words + "\n"))
}
