// Package grant decides what a workload gets: from its selectors to its
// entries, its SVIDs and the bundles that they are federated with. It makes the
// private keys, one per entry, and hands out whole answers that were put
// together once for all who get the same.
//
// It refuses to give anything while its source or its signer is not ready, and
// it never signs because a bundle changed. What holds: every answer is one
// committed cut; answers to one stream never go back to an older cut.
package grant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/workload"
)

// ErrNoIdentity is returned to a workload that no entry matches, also when the
// last of its entries goes while it waits.
var ErrNoIdentity = errors.New("no registration entry matches this process")

// Grants is what all workloads of this host are entitled to.
type Grants struct {
	source Source
	signer Signer
	log    *slog.Logger

	// slots bound how many keys are made and SVIDs signed at once. A crowd
	// waits here, each with its own context.
	slots chan struct{}
	// epoch counts the changes of signing authority; an SVID of an earlier one
	// is replaced at once.
	epoch  atomic.Uint64
	signed atomic.Uint64

	// alarm wakes the time keeper, doorbell the watcher. One waiting ring is enough.
	alarm, doorbell chan struct{}

	mu         sync.Mutex
	pending    Change // what was rung for and not yet looked at
	views      map[string]*view
	subjects   map[string]*subject
	identities map[string]*identity // by entry ID
	bundles    bundleParts
	wakeAt     time.Time // when the time keeper wakes by itself
}

// Options are what Grants are made of.
type Options struct {
	Source Source
	Signer Signer
	Log    *slog.Logger
}

// New returns Grants that serve at once; Run keeps what they serve current.
func New(o Options) *Grants {
	return &Grants{
		source:     o.Source,
		signer:     o.Signer,
		log:        o.Log,
		slots:      make(chan struct{}, runtime.GOMAXPROCS(0)),
		alarm:      make(chan struct{}, 1),
		doorbell:   make(chan struct{}, 1),
		views:      make(map[string]*view),
		subjects:   make(map[string]*subject),
		identities: make(map[string]*identity),
		bundles:    make(bundleParts),
	}
}

// Changed says what may be different since it was last called. It never waits:
// changes that come faster than they are looked at become one.
func (g *Grants) Changed(c Change) {
	g.mu.Lock()
	g.pending = g.pending.merge(c)
	g.mu.Unlock()
	ring(g.doorbell)
}

// Run follows changes and renews SVIDs until ctx ends. It returns nil.
func (g *Grants) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { g.watch(ctx) })
	loops.Go(func() { g.keepTime(ctx) })
	loops.Wait()
	return nil
}

// ring makes sure that whoever receives from bell wakes once more.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// Stats counts what is held now, and what was signed since the start.
type Stats struct {
	Streams    int    // subscriptions that are open
	Subjects   int    // different sets of entries among them
	Identities int    // keys held, some of them for workloads that are gone
	Signed     uint64 // X.509-SVIDs
}

// Stats returns the counts as they are now.
func (g *Grants) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Stats{Subjects: len(g.subjects), Identities: len(g.identities), Signed: g.signed.Load()}
	for _, v := range g.views {
		s.Streams += v.holders
	}
	return s
}

// entries returns what a workload with selectors is entitled to in l.
func entries(l Ledger, selectors []attest.Selector, now time.Time) []*workload.Entry {
	return workload.Match(l.EntriesFor(selectors), selectors, now)
}

// granted returns the identities of the entries, in their order. Entries may
// share a SPIFFE ID: an answer has one SVID per identity (Workload API §5.2.1),
// which is the first entry's. Hints are unique in an answer: the first entry
// keeps one that several have, the others are served without (§5.2.1).
func granted(entries []*workload.Entry) []grantedEntry {
	ids := make(map[string]bool, len(entries))
	hints := make(map[string]bool, len(entries))
	var out []grantedEntry
	for _, e := range entries {
		if id := e.SPIFFEID.String(); !ids[id] {
			ids[id] = true
			one := grantedEntry{entry: e}
			if e.Hint != "" && !hints[e.Hint] {
				hints[e.Hint] = true
				one.hint = e.Hint
			}
			out = append(out, one)
		}
	}
	return out
}

type grantedEntry struct {
	entry *workload.Entry
	hint  string
}

// ledger returns the newest cut.
func (g *Grants) ledger() (Ledger, error) {
	l, err := g.source.Ledger()
	if err != nil {
		return nil, fmt.Errorf("read what this host may serve: %w", err)
	}
	return l, nil
}
