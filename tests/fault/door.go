package main

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
	"strconv"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/fault/history"
)

// door is the administrative API of one node, through its socket, as a client
// uses it that says what it has seen and gives its requests names.
type door struct{ http *http.Client }

func newDoor(socket string) *door {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &door{&http.Client{Transport: &http.Transport{DialContext: dial, IdleConnTimeout: time.Second, MaxIdleConnsPerHost: 8}}}
}

func (d *door) close() { d.http.CloseIdleConnections() }

// call is one request.
type call struct {
	method, path string
	query        url.Values
	request      string // its name; "": the node gives it one
	seen         uint64 // the newest log index that the client knows
	in, out      any
}

// do makes a request. An error that is not *client.Refused leaves open whether
// anything was done; errNotSent says that nothing was.
func (d *door) do(ctx context.Context, c call) error {
	var body io.Reader
	if c.in != nil {
		text, err := json.Marshal(c.in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	ask, err := http.NewRequestWithContext(ctx, c.method, "http://concord"+c.path+"?"+c.query.Encode(), body)
	if err != nil {
		return err
	}
	if body != nil {
		ask.Header.Set("Content-Type", "application/json")
	}
	ask.Header.Set(client.CauseHeader, "fault campaign")
	if c.request != "" {
		ask.Header.Set(client.RequestIDHeader, c.request)
	}
	if c.seen > 0 {
		ask.Header.Set(client.SeenIndexHeader, strconv.FormatUint(c.seen, 10))
	}
	answer, err := d.http.Do(ask)
	if err != nil {
		var dialing *net.OpError
		if errors.As(err, &dialing) && dialing.Op == "dial" {
			return fmt.Errorf("%w: %w", errNotSent, err)
		}
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return refusal(answer.StatusCode, text)
	}
	if c.out == nil {
		return nil
	}
	return json.Unmarshal(text, c.out)
}

// errNotSent is a request that no node has got.
var errNotSent = errors.New("not sent")

func refusal(status int, text []byte) error {
	var body client.Error
	if err := json.Unmarshal(text, &body); err != nil {
		return fmt.Errorf("answer %d: %.200s", status, text)
	}
	return &client.Refused{Status: status, Code: body.Error.Code, Detail: body.Error.Detail}
}

// outcome is what an answer says about what was asked for.
func outcome(err error) string {
	var no *client.Refused
	switch {
	case err == nil:
		return history.Done
	case errors.As(err, &no):
		switch no.Code {
		case "invalid_argument", "not_found", "already_exists", "failed_precondition", "permission_denied", "resource_exhausted", "aborted":
			return no.Code
		}
	}
	return history.Unknown
}
