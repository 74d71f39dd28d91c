package replica

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
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
)

// Calls between nodes are HTTP/1.1 under concord-node/1: POST /<name> with a
// body, answered with a body or a refusal. Who calls is known from the handshake.

// maxCallBytes bounds the body of a call and of its answer. A command is the
// largest; a little more is for what it is wrapped in.
const maxCallBytes = 4 << 20

// linesKept is how many connections for calls to one member stay open when they are
// idle, linesMost how many there are: changes that a follower forwards side by
// side must not pay for a handshake each. Whoever finds none free waits.
const (
	linesKept = 64
	linesMost = 128
)

// JoinCall is the only call that somebody who is not a member yet may make.
const JoinCall = "join"

// Handler answers a call. A *broker.Refusal crosses unchanged; any other error
// becomes an internal one at the caller, with its text.
type Handler func(ctx context.Context, from Peer, body []byte) ([]byte, error)

// Line carries calls to other members. After any error but ErrUnreached and a
// *broker.Refusal the call may have been carried out.
type Line interface {
	Call(ctx context.Context, to raft.ServerID, name string, body []byte) ([]byte, error)
}

// handlers are what this node answers.
type handlers struct {
	mu     sync.Mutex
	byName map[string]Handler
}

// Handle answers calls of this name from now on.
func (r *Replica) Handle(name string, h Handler) {
	r.handlers.mu.Lock()
	defer r.handlers.mu.Unlock()
	if r.handlers.byName == nil {
		r.handlers.byName = make(map[string]Handler)
	}
	r.handlers.byName[name] = h
}

// Answer answers a call that came by whatever way authenticated from.
func (r *Replica) Answer(ctx context.Context, from Peer, name string, body []byte) ([]byte, error) {
	if from.Token != "" && name != JoinCall {
		return nil, broker.Refuse(broker.PermissionDenied, "%s is not a member yet: it may only join", from.ID)
	}
	r.handlers.mu.Lock()
	h := r.handlers.byName[name]
	r.handlers.mu.Unlock()
	if h == nil {
		return nil, broker.Refuse(broker.Unavailable, "this node does not answer %q, or not yet: it is starting, or runs another version", name)
	}
	return h(ctx, from, body)
}

// Call makes a call to a member, itself included.
func (r *Replica) Call(ctx context.Context, to raft.ServerID, name string, body []byte) ([]byte, error) {
	switch {
	case to == r.me.id:
		return r.Answer(ctx, Peer{ID: r.me.id}, name, body)
	case r.line == nil:
		return nil, broker.Refuse(broker.Unavailable, "this node has no way to call %s", to)
	}
	return r.line.Call(ctx, to, name, body)
}

// CallLeader makes a call to whoever leads.
func (r *Replica) CallLeader(ctx context.Context, name string, body []byte) ([]byte, error) {
	_, leader := r.raft.Load().LeaderWithID()
	if leader == "" {
		return nil, errNoLeader
	}
	return r.Call(ctx, leader, name, body)
}

var errNoLeader = broker.Refuse(broker.Unavailable, "there is no leader now: nothing was changed; try again in a moment")

// telephone is the Line over the raft port.
type telephone struct{ client *http.Client }

func newTelephone(s *stream, where func(raft.ServerID) raft.ServerAddress) *telephone {
	dial := func(ctx context.Context, _, hostPort string) (net.Conn, error) {
		id := raft.ServerID(strings.TrimSuffix(hostPort, ":443"))
		address := where(id)
		if address == "" {
			return nil, fmt.Errorf("%w: %s is none", ErrUnreached, id)
		}
		return s.call(ctx, id, address)
	}
	return &telephone{&http.Client{Transport: &http.Transport{
		DialTLSContext: dial, MaxIdleConnsPerHost: linesKept, MaxConnsPerHost: linesMost, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}}
}

// Call implements Line.
func (t *telephone) Call(ctx context.Context, to raft.ServerID, name string, body []byte) ([]byte, error) {
	answer, err := t.post(ctx, to, name, body)
	if err != nil && broker.CodeOf(err) == "" {
		return nil, fmt.Errorf("call %.12s… for %s: %w", to, name, err)
	}
	return answer, err
}

func (t *telephone) post(ctx context.Context, to raft.ServerID, name string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+string(to)+"/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := t.client.Do(request)
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // its URL is no address
	}
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxCallBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(answer) > maxCallBytes:
		return nil, fmt.Errorf("its answer has more than %d bytes", maxCallBytes)
	case response.StatusCode == http.StatusOK:
		return answer, nil
	}
	return nil, readFault(answer)
}

func (t *telephone) close() { t.client.CloseIdleConnections() }

// fault is an error on its way to the caller.
type fault struct {
	Code   broker.Code `json:"code,omitempty"` // "": internal
	Detail string      `json:"detail"`
}

func readFault(text []byte) error {
	var f fault
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("it answered what is no answer: %w", err)
	}
	if f.Code != "" {
		return &broker.Refusal{Code: f.Code, Detail: f.Detail}
	}
	return errors.New(f.Detail)
}

type peerKey struct{}

// exchange serves calls that arrive at the raft port.
func (r *Replica) exchange() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(r.pickUp),
		ReadHeaderTimeout: handshakeTime, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 8 << 10,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if g, ok := conn.(*guest); ok {
				return context.WithValue(ctx, peerKey{}, g.who)
			}
			return ctx // pickUp refuses it
		},
	}
}

// pickUp answers one call.
func (r *Replica) pickUp(w http.ResponseWriter, request *http.Request) {
	from, ok := request.Context().Value(peerKey{}).(Peer)
	if !ok {
		http.Error(w, "who calls is not known", http.StatusForbidden)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxCallBytes))
	var answer []byte
	if err == nil {
		answer, err = r.Answer(request.Context(), from, strings.TrimPrefix(request.URL.Path, "/"), body)
	}
	if err == nil {
		_, _ = w.Write(answer) // who has gone does not hear it
		return
	}
	f := fault{Code: broker.CodeOf(err), Detail: err.Error()}
	text, err := json.Marshal(f)
	if err != nil {
		text = []byte(`{"detail":"an error that cannot be written"}`)
	}
	w.WriteHeader(http.StatusUnprocessableEntity)
	_, _ = w.Write(text)
}
