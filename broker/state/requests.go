package state

import (
	"time"

	"github.com/tidwall/btree"

	"github.com/concord-id/concord/broker"
)

// How long and how many requests are remembered. Time is that of the commands.
const (
	RequestMemory = time.Hour
	MaxRequests   = 100_000
)

// forgetAtOnce is how many requests one command makes the state forget at most:
// it bounds the work of a command, and a proposer whose clock is wrong does not
// wipe the memory of everybody else.
const forgetAtOnce = 2

// request is the outcome of a command that had a request ID.
type request struct {
	ID      string
	Index   uint64
	At      time.Time
	Kind    kind
	Subject string
	Code    broker.Code // "" if it was not refused
	Detail  string      // in the words of the version that refused it here
}

var requestShape = shape[request]{
	kind: recordRequest,
	key:  func(r *request) string { return r.ID },
	fields: func(v visitor, r *request) {
		v.text(1, "id", &r.ID)
		v.count(2, "index", &r.Index)
		v.moment(3, "at", &r.At)
		small(v, 4, "kind", &r.Kind, kind.String)
		v.text(5, "subject", &r.Subject)
		word(v, 6, "code", &r.Code)
		v.words(7, "detail", &r.Detail)
	},
}

// refusal returns how the request was refused; nil if it was not.
func (r *request) refusal() *broker.Refusal {
	if r.Code == "" {
		return nil
	}
	return &broker.Refusal{Code: r.Code, Detail: r.Detail}
}

// requestQueue has the remembered requests, the oldest first.
type requestQueue struct {
	tree  *btree.BTreeG[*request]
	limit int // how many there may be
}

func newRequestQueue(limit int) requestQueue {
	return requestQueue{newTree(func(a, b *request) bool { return a.Index < b.Index }), limit}
}

func (q requestQueue) copy() requestQueue { return requestQueue{q.tree.Copy(), q.limit} }

// remember keeps a request's outcome, and forgets what is too old or too much.
func (d *draft) remember(r *request) {
	if r.ID != "" {
		d.requests.put(d, r)
		d.queue.tree.Set(r)
	}
	for range forgetAtOnce {
		oldest, ok := d.queue.tree.Min()
		if !ok || d.queue.tree.Len() <= d.queue.limit && d.act.At.Sub(oldest.At) < RequestMemory {
			return
		}
		d.queue.tree.Delete(oldest)
		d.requests.drop(d, oldest)
	}
}
