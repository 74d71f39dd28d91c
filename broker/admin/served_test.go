package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/tests/memcluster"
)

const (
	acme = "acme.example"
	bank = "bank.example"
)

// served is a cluster whose REST API is served on a socket. Everything that
// goes over it is held against the description.
type served struct {
	*memcluster.Cluster
	api    http.Handler
	socket string
	http   *http.Client
	log    *lockedBuffer
}

func serve(t testing.TB, opts memcluster.Options) *served {
	t.Helper()
	s := &served{log: &lockedBuffer{}}
	opts.Log = slog.New(slog.NewTextHandler(s.log, nil))
	s.Cluster = memcluster.New(t, acme, opts)
	s.listen(t, s.Registrar, &http.Server{})
	return s
}

// listen serves the API of r by server.
func (s *served) listen(t testing.TB, r *registrar.Registrar, server *http.Server) {
	t.Helper()
	s.api = admin.New(r, authenticate, slog.New(slog.NewTextHandler(s.log, nil)))
	dir, err := os.MkdirTemp("", "c") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	s.socket = filepath.Join(dir, "admin.sock")
	listener, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	server.Handler = said(checked(t, s.api))
	server.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(s.log, nil), slog.LevelError)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	}}
	s.http = &http.Client{Transport: transport, Timeout: time.Minute}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		serving.Wait()
		os.RemoveAll(dir)
	})
}

type saidKey struct{}

// said hands who a test says it is to authenticate, as a connection would.
func said(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), saidKey{}, r.Header.Get("As"))))
	})
}

// callers are who a test may be.
var callers = map[string]broker.Caller{
	"": memcluster.Admin, "admin": memcluster.Admin, "reader": memcluster.Reader, "node": memcluster.Node, "nobody": memcluster.Nobody,
}

func authenticate(ctx context.Context) (broker.Caller, bool) {
	name, _ := ctx.Value(saidKey{}).(string)
	if name == "panic" {
		panic("the canary is " + canary)
	}
	who, ok := callers[name]
	return who, ok
}

const canary = "c4n4ry"

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask makes a request that fits the description, as an administrator. change
// may change it first.
func (s *served) ask(t testing.TB, method, path string, body any, change ...func(*http.Request)) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://concord"+path, reader(t, body))
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(request)
	}
	response, err := s.http.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{response.StatusCode, response.Header, text}
}

// reader returns a body: text as it is, anything else as JSON.
func reader(t testing.TB, body any) io.Reader {
	switch b := body.(type) {
	case nil:
		return nil
	case string:
		return strings.NewReader(b)
	case []byte:
		return bytes.NewReader(b)
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(text)
}

// wrong says that a request is meant not to fit the description.
func wrong(r *http.Request) { r.Header.Set(wrongHeader, "true") }

func as(name string) func(*http.Request) { return header("As", name) }

func called(requestID string) func(*http.Request) { return header(client.RequestIDHeader, requestID) }

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// get reads what it asks for into a document.
func get[T any](t testing.TB, s *served, path string) T {
	t.Helper()
	return read[T](t, s.ask(t, http.MethodGet, path, nil), http.StatusOK)
}

// read wants a status, and reads the answer.
func read[T any](t testing.TB, a answer, status int) (document T) {
	t.Helper()
	if a.status != status {
		t.Fatalf("answered %d %s, want %d", a.status, a.body, status)
	}
	if err := json.Unmarshal(a.body, &document); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return document
}

// wantError wants a refusal whose detail has these words in it.
func wantError(t testing.TB, a answer, status int, code string, words ...string) {
	t.Helper()
	got := read[client.Error](t, a, status)
	if got.Error.Code != code {
		t.Errorf("code is %q, want %q: %s", got.Error.Code, code, got.Error.Detail)
	}
	for _, w := range words {
		if !strings.Contains(got.Error.Detail, w) {
			t.Errorf("detail %q does not say %q", got.Error.Detail, w)
		}
	}
}

// lockedBuffer is a log that a test reads while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
