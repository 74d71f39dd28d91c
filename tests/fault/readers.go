package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/fault/history"
)

const (
	documentEvery = 150 * time.Millisecond
	documentTime  = 3 * time.Second
)

// reader follows the domain's bundle as peers do.
type reader struct {
	name, way string
	c         *campaign
	random    *rand.Rand
	only      *machine // that is asked; nil: any
	dials     atomic.Int64
	http      *http.Client
	tag       string
	held      history.Event // what tag stands for
}

func newReader(c *campaign, name, way string, only *machine, random *rand.Rand) *reader {
	r := &reader{name: name, way: way, c: c, random: random, only: only}
	r.http = &http.Client{Timeout: documentTime, Transport: &http.Transport{
		DisableKeepAlives: way != history.Kept,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // what it says is looked at, not who says it
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			r.dials.Add(1)
			return c.hub.Dial(ctx, network, address)
		},
	}}
	return r
}

// work goes on until ctx ends.
func (r *reader) work(ctx context.Context) {
	defer r.http.CloseIdleConnections()
	for ctx.Err() == nil {
		m := r.only
		if m == nil {
			m = r.c.machines[r.random.IntN(len(r.c.machines))]
		}
		r.read(ctx, m)
		pause(ctx, documentEvery)
	}
}

// read asks once.
func (r *reader) read(ctx context.Context, m *machine) {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s:8443/", m.host.Addr), nil)
	if err != nil {
		return
	}
	if r.way == history.Tagged && r.tag != "" {
		ask.Header.Set("If-None-Match", r.tag)
	}
	begun := r.c.rec.now()
	answer, err := r.http.Do(ask)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, federation.MaxBundleBytes+1))
	if err != nil {
		return
	}
	e := history.Event{Kind: history.Document, Node: m.name, Way: r.way, Outcome: answer.Status, Begin: begun}
	switch answer.StatusCode {
	case http.StatusOK:
		if err := r.understand(&e, text); err != nil {
			r.c.rec.wrong("an endpoint serves a bundle", "%s: %v", m.name, err)
			return
		}
		e.Outcome, r.tag, r.held = history.Done, answer.Header.Get("ETag"), e
	case http.StatusNotModified:
		e.Sequence, e.Hash, e.Keys, e.Outcome = r.held.Sequence, r.held.Hash, r.held.Keys, history.Done
	}
	e.Aged = answer.Header.Get("Age") != "" && strings.Contains(answer.Header.Get("Cache-Control"), "max-age=0")
	e.Client = fmt.Sprintf("%s#%d", r.name, r.dials.Load()) // on one connection
	if r.way != history.Kept {
		e.Client = r.name
	}
	r.c.rec.add(e)
}

// understand notes what a document says.
func (r *reader) understand(e *history.Event, text []byte) error {
	bundle, _, err := federation.Parse(spiffeid.RequireTrustDomainFromString(domain), text)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	e.Hash, e.Sequence = hex.EncodeToString(sum[:8]), bundle.Sequence
	for _, c := range bundle.X509 {
		e.Keys = append(e.Keys, hex.EncodeToString(c.SubjectKeyId))
	}
	for _, k := range bundle.JWT {
		e.Keys = append(e.Keys, k.ID)
	}
	return nil
}

// keyID is the key that a token says it was signed by.
func keyID(token string) string {
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	var header struct {
		KeyID string `json:"kid"`
	}
	if err != nil || json.Unmarshal(text, &header) != nil {
		return "unreadable"
	}
	return header.KeyID
}
