package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
)

// node serves handler on a socket, and returns its path.
func node(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "admin.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
		os.RemoveAll(dir)
	})
	return socket
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestARequestSaysWhyAndCarriesItsDocument(t *testing.T) {
	asked := make(chan string, 1)
	socket := node(t, func(w http.ResponseWriter, r *http.Request) {
		var e client.Entry
		err := json.NewDecoder(r.Body).Decode(&e)
		asked <- fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("Content-Type"), " ", r.Header.Get(client.CauseHeader), " ", e.Hint, " ", err)
		fmt.Fprint(w, `{"index":7}`)
	})
	var out client.Outcome[client.Entry]
	err := client.New(socket, "why").Do(t.Context(), http.MethodPost, client.Path("entries", "a/b c", "x"), url.Values{"dry_run": {"true"}}, client.Entry{Hint: "h"}, &out)
	if err != nil || out.Index != 7 {
		t.Errorf("%+v, %v", out, err)
	}
	if got, want := <-asked, "POST /v1/entries/a%2Fb%20c/x?dry_run=true application/json why h <nil>"; got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
}

func TestARefusalIsInTheNodesWords(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    client.Refused
	}{
		"a refusal":        {says(404, `{"error":{"code":"not_found","detail":"there is none"}}`), client.Refused{Status: 404, Code: "not_found", Detail: "there is none"}},
		"something else":   {says(502, `<html>`), client.Refused{Status: 502, Code: "unknown", Detail: "the node answered 502 Bad Gateway"}},
		"no code":          {says(400, `{"error":{}}`), client.Refused{Status: 400, Code: "unknown", Detail: "the node answered 400 Bad Request"}},
		"a very long one":  {says(400, strings.Repeat(" ", 1<<20)+`{}`), client.Refused{Status: 400, Code: "unknown", Detail: "the node answered 400 Bad Request"}},
		"a redirect is no": {says(304, ``), client.Refused{Status: 304, Code: "unknown", Detail: "the node answered 304 Not Modified"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := client.New(node(t, c.handler), "").Do(t.Context(), http.MethodGet, "/v1/status", nil, nil, nil)
			var refused *client.Refused
			if !errors.As(err, &refused) || *refused != c.want {
				t.Errorf("answered %#v", err)
			}
		})
	}
}

func TestAnAnswerThatIsNotUnderstoodIsAnError(t *testing.T) {
	api := client.New(node(t, says(200, "<html>")), "")
	var st client.Status
	if err := api.Do(t.Context(), http.MethodGet, "/v1/status", nil, nil, &st); err == nil || !strings.Contains(err.Error(), "not understood") {
		t.Errorf("answered %v", err)
	}
	var raw []byte
	if err := api.Do(t.Context(), http.MethodGet, "/v1/openapi.yaml", nil, nil, &raw); err != nil || string(raw) != "<html>" {
		t.Errorf("answered %q, %v", raw, err)
	}
}

func TestASocketThatDoesNotAnswerSaysWhatToDo(t *testing.T) {
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	left := filepath.Join(dir, "left.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	for path, want := range map[string]string{filepath.Join(dir, "none.sock"): "start a node", left: "the node that made it has ended"} {
		err := client.New(path, "").Do(t.Context(), http.MethodGet, "/v1/status", nil, nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestAStreamGivesEachDocument(t *testing.T) {
	for name, c := range map[string]struct {
		body, taken, err string
	}{
		"to its end":             {"{\"index\":1}\n{\"index\":2}\n", "[1 2]", "<nil>"},
		"to an error":            {"{\"index\":1}\n{\"error\":{\"code\":\"unavailable\",\"detail\":\"stopping\"}}\n", "[1]", "stopping"},
		"to what is no JSON":     {"{\"index\":1}\nx", "[1]", "read the node's answer"},
		"to what is cut off":     {"{\"index\":1}\n{\"ind", "[1]", "read the node's answer"},
		"to what is another one": {"{\"index\":\"a\"}\n", "[]", "not understood"},
		"to what is not wanted":  {"{\"index\":1}\n{\"index\":9}\n{\"index\":2}\n", "[1]", "enough"},
	} {
		t.Run(name, func(t *testing.T) {
			var taken []uint64
			err := client.Stream(t.Context(), client.New(node(t, says(200, c.body)), ""), "/v1/audit", nil, func(r client.AuditRecord) error {
				if r.Index == 9 {
					return errors.New("enough")
				}
				taken = append(taken, r.Index)
				return nil
			})
			if fmt.Sprint(taken) != c.taken || !strings.Contains(fmt.Sprint(err), c.err) {
				t.Errorf("took %v, %v", taken, err)
			}
		})
	}
}

func TestAStreamEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	socket := node(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"index":1}`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	err := client.Stream(ctx, client.New(socket, ""), "/v1/audit", nil, func(client.AuditRecord) error {
		cancel()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestADurationIsReadAsTextOrSeconds(t *testing.T) {
	for text, want := range map[string]time.Duration{`"90s"`: 90 * time.Second, `"1h30m"`: 90 * time.Minute, `5`: 5 * time.Second, `0.5`: time.Second / 2, `-1e-9`: -1, `"0"`: 0} {
		var d client.Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s is read as %s, %v", text, time.Duration(d), err)
		}
	}
	for _, text := range []string{`"5"`, `""`, `"an hour"`, `true`, `[]`, `1e10`, `-1e300`, `"9999999h"`} {
		var d client.Duration
		if err := json.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s is read as %s", text, time.Duration(d))
		}
	}
	if text, err := json.Marshal(client.Duration(90 * time.Minute)); err != nil || string(text) != `"1h30m0s"` {
		t.Errorf("written %s, %v", text, err)
	}
}
