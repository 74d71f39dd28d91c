package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/fault/history"
)

// How those who write go about it.
const (
	writers     = 6
	recordsKept = 150 // that there are at once, about
	writeTime   = 15 * time.Second
	writeEvery  = 5 * time.Millisecond
)

// register are the entries that all writers know of.
type register struct {
	mu   sync.Mutex
	made int
	keys []string
}

// fresh is the name of an entry that nobody has made.
func (r *register) fresh() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made++
	return fmt.Sprint("k-", r.made)
}

func (r *register) add(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, key)
}

// some is an entry, and full says that there are enough; "" if there is none.
func (r *register) some(random *rand.Rand) (key string, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys) == 0 {
		return "", false
	}
	return r.keys[random.IntN(len(r.keys))], len(r.keys) >= recordsKept
}

func (r *register) drop(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, k := range r.keys {
		if k == key {
			r.keys = append(r.keys[:i], r.keys[i+1:]...)
			return
		}
	}
}

// writer is a client that writes and reads entries at any node.
type writer struct {
	name     string
	c        *campaign
	random   *rand.Rand
	register *register
	counter  int
	seen     uint64
	known    map[string]uint64 // revisions
}

// work goes on until ctx ends.
func (w *writer) work(ctx context.Context) {
	for ctx.Err() == nil {
		m := w.c.machines[w.random.IntN(len(w.c.machines))]
		key, full := w.register.some(w.random)
		switch dice := w.random.IntN(100); {
		case key == "" || !full && dice < 40:
			w.create(ctx, m)
		case dice < 45:
			w.read(ctx, m, key)
		case full && dice < 55:
			w.write(ctx, m, history.Event{Op: history.Delete, Key: key}, http.MethodDelete, client.Path("entries", key), nil)
			w.register.drop(key)
		default:
			w.change(ctx, m, key)
		}
		pause(ctx, writeEvery)
	}
}

// value is text that nobody else writes.
func (w *writer) value() string {
	w.counter++
	return fmt.Sprintf("%s-%d", w.name, w.counter)
}

func (w *writer) create(ctx context.Context, m *machine) {
	key, value := w.register.fresh(), w.value()
	entry := client.Entry{ID: key, SPIFFEID: "spiffe://" + domain + "/" + key, Selectors: []string{"unix:path:/" + key}, Hint: value}
	w.write(ctx, m, history.Event{Op: history.Create, Key: key, Value: value}, http.MethodPost, client.Path("entries"), entry)
	w.register.add(key)
}

func (w *writer) change(ctx context.Context, m *machine, key string) {
	value := w.value()
	patch := client.EntryPatch{Hint: &value}
	if revision, known := w.known[key]; known && w.random.IntN(2) == 0 {
		patch.IfRevision = &revision
	}
	w.write(ctx, m, history.Event{Op: history.Change, Key: key, Value: value, If: patch.IfRevision}, http.MethodPatch, client.Path("entries", key), patch)
}

// write makes one request and notes what came of it.
func (w *writer) write(ctx context.Context, m *machine, e history.Event, method, path string, in any) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	w.counter++
	e.Kind, e.Client, e.Node, e.Request = history.Write, w.name, m.name, fmt.Sprintf("%s-request-%d", w.name, w.counter)
	var out client.Outcome[client.Entry]
	e.Begin = w.c.rec.now()
	err := m.door.do(ctx, call{method: method, path: path, request: e.Request, seen: w.seen, in: in, out: &out})
	if errors.Is(err, errNotSent) {
		pause(ctx, 20*time.Millisecond)
		return
	}
	e.Outcome = outcome(err)
	if err == nil {
		e.Index, w.seen = out.Index, max(w.seen, out.Index)
		w.c.acknowledged.Add(1)
		e.Later = e.Op != history.Delete && (out.After == nil || out.After.Hint != e.Value)
		if out.After != nil {
			w.known[e.Key] = out.After.Revision
		}
		if out.After != nil && !e.Later {
			e.Revision = out.After.Revision
		}
	}
	w.c.rec.add(e)
}

// read reads one entry.
func (w *writer) read(ctx context.Context, m *machine, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	e := history.Event{Kind: history.Read, Client: w.name, Node: m.name, Key: key, Seen: w.seen, Begin: w.c.rec.now()}
	var out client.Entry
	err := m.door.do(ctx, call{method: http.MethodGet, path: client.Path("entries", key), seen: w.seen, out: &out})
	if e.Outcome = outcome(err); e.Outcome == history.Unknown {
		pause(ctx, 20*time.Millisecond)
		return
	}
	if err == nil {
		e.Value, e.Revision = out.Hint, out.Revision
		w.known[key] = out.Revision
	}
	w.c.rec.add(e)
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
