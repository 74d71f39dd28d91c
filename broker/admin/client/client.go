package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// maxAnswerBytes bounds an answer that is read whole.
const maxAnswerBytes = 64 << 20

// idleTimeout is how long a connection is kept for the next request.
const idleTimeout = 30 * time.Second

// Headers of every request; the first is also one of every answer.
const (
	RequestIDHeader = "Concord-Request-Id" // makes a retry harmless: at most 128 bytes of printable ASCII
	CauseHeader     = "Concord-Cause"      // why, for the audit trail: at most 1,024 bytes
	SeenIndexHeader = "Concord-Seen-Index" // the newest index seen in an answer: a read waits up to 1 s for it
)

// BackupType is the media type of a backup.
const BackupType = "application/octet-stream"

// StreamType is the media type of documents that come one a line.
const StreamType = "application/x-ndjson"

// Refused is an answer of no, in the node's words.
type Refused struct {
	Status int    // of HTTP
	Code   string // "not_found"
	Detail string
}

func (r *Refused) Error() string { return r.Detail }

// Client speaks to one node over its admin socket. It may be used by any
// number of goroutines.
type Client struct {
	socket string
	cause  string
	http   *http.Client
}

// New returns a client of the node whose admin socket is at that path. Cause is
// why its requests are made, for the audit trail.
func New(socket, cause string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, cause: cause, http: &http.Client{Transport: &http.Transport{DialContext: dial, IdleConnTimeout: idleTimeout}}}
}

// Do makes one request. in is sent as JSON unless it is nil; out is filled
// from the answer unless it is nil.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	answer, err := c.send(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes+1))
	if err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	if len(body) > maxAnswerBytes {
		return fmt.Errorf("the node's answer is longer than %d bytes: ask for less", maxAnswerBytes)
	}
	if out == nil {
		return nil
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = body
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("the node's answer is not understood: %w", err)
	}
	return nil
}

// Stream makes a GET whose answer is JSON documents, one after another, and
// gives each to take until the answer or ctx ends. It is *Refused if the node
// says why it ends.
func Stream[T any](ctx context.Context, c *Client, path string, query url.Values, take func(T) error) error {
	answer, err := c.send(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	for decoder := json.NewDecoder(answer.Body); ; {
		var text json.RawMessage
		if err := decoder.Decode(&text); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read the node's answer: %w", err)
		}
		if end := (Error{}); json.Unmarshal(text, &end) == nil && end.Error.Code != "" {
			return &Refused{Status: answer.StatusCode, Code: end.Error.Code, Detail: end.Error.Detail}
		}
		var one T
		if err := json.Unmarshal(text, &one); err != nil {
			return fmt.Errorf("the node's answer is not understood: %w", err)
		}
		if err := take(one); err != nil {
			return err
		}
	}
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://concord"+path, body)
	if err != nil {
		return nil, err
	}
	request.URL.RawQuery = query.Encode()
	request.Header.Set(CauseHeader, c.cause)
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if answer.StatusCode/100 != 2 {
		defer answer.Body.Close()
		return nil, refused(answer)
	}
	return answer, nil
}

// refused reads the refusal out of an answer.
func refused(answer *http.Response) error {
	r := &Refused{Status: answer.StatusCode}
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	var body Error
	if err != nil || json.Unmarshal(text, &body) != nil || body.Error.Code == "" {
		r.Code, r.Detail = "unknown", fmt.Sprintf("the node answered %s", answer.Status)
		return r
	}
	r.Code, r.Detail = body.Error.Code, body.Error.Detail
	return r
}

// unreachable says what to do about a socket that does not answer.
func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no admin socket at %s: start a node, or name its socket with --socket or CONCORD_SOCKET", c.socket)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("no permission to use %s: run this as the node's user, or as a member of its admin-gid", c.socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens on %s: the node that made it has ended; start it again", c.socket)
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	return fmt.Errorf("ask the node at %s: %w", c.socket, err)
}

// Path joins segments to a path of the API, escaping each.
func Path(segments ...string) string {
	escaped := make([]string, len(segments))
	for i, s := range segments {
		escaped[i] = url.PathEscape(s)
	}
	return "/v1/" + strings.Join(escaped, "/")
}
