package fetch_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/fetch"
)

var own = spiffeid.RequireTrustDomainFromString("acme.example")

// ledger is a state of one node in memory: a Ledger and a Store.
type ledger struct {
	mu       sync.Mutex
	cut      cut // copied on write
	watchers map[*watcher]struct{}
	puts     []*federation.Published

	// refuse, if set, is asked before anything is stored.
	refuse func(ctx context.Context, p *federation.Published) error
	// after, if set, makes a PutBundle that took effect report a failure.
	after func() error
	// closed ends all watching with an error.
	closed error
}

type cut struct {
	relationships map[spiffeid.TrustDomain]federation.Relationship
	bundles       map[spiffeid.TrustDomain]*federation.Published
}

func newLedger() *ledger { return &ledger{watchers: map[*watcher]struct{}{}} }

func (c cut) TrustDomain() spiffeid.TrustDomain { return own }
func (c cut) Relationships() []federation.Relationship {
	return slices.Collect(maps.Values(c.relationships))
}
func (c cut) Relationship(td spiffeid.TrustDomain) (federation.Relationship, bool) {
	r, ok := c.relationships[td]
	return r, ok
}
func (c cut) Bundle(td spiffeid.TrustDomain) *federation.Published { return c.bundles[td] }
func (c cut) Holder(key federation.KeyHash) (spiffeid.TrustDomain, bool) {
	for td, p := range c.bundles {
		for _, x := range p.Bundle.X509 {
			if h, err := federation.HashKey(x.PublicKey); err == nil && h == key {
				return td, true
			}
		}
	}
	return spiffeid.TrustDomain{}, false
}

func (l *ledger) View() fetch.View {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// relate creates or changes a relationship.
func (l *ledger) relate(r federation.Relationship) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := maps.Clone(l.cut.relationships)
	if next == nil {
		next = map[spiffeid.TrustDomain]federation.Relationship{}
	}
	if old, ok := next[r.TrustDomain]; ok {
		r.Revision = old.Revision + 1
	}
	next[r.TrustDomain] = r
	l.cut.relationships = next
	l.tell(fetch.Change{Relationships: []spiffeid.TrustDomain{r.TrustDomain}})
}

// part ends a relationship and forgets its bundle.
func (l *ledger) part(td spiffeid.TrustDomain) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut.relationships, l.cut.bundles = maps.Clone(l.cut.relationships), maps.Clone(l.cut.bundles)
	delete(l.cut.relationships, td)
	delete(l.cut.bundles, td)
	l.tell(fetch.Change{Relationships: []spiffeid.TrustDomain{td}, Bundles: []spiffeid.TrustDomain{td}})
}

// set is an operator's bundle.
func (l *ledger) set(p *federation.Published) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.store(p)
}

func (l *ledger) store(p *federation.Published) {
	next := maps.Clone(l.cut.bundles)
	if next == nil {
		next = map[spiffeid.TrustDomain]*federation.Published{}
	}
	next[p.Bundle.TrustDomain] = p
	l.cut.bundles = next
	l.tell(fetch.Change{Bundles: []spiffeid.TrustDomain{p.Bundle.TrustDomain}})
}

func (l *ledger) PutBundle(ctx context.Context, p *federation.Published, expect [sha256.Size]byte) error {
	if l.refuse != nil {
		if err := l.refuse(ctx, p); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var stored [sha256.Size]byte
	if held := l.cut.bundles[p.Bundle.TrustDomain]; held != nil {
		stored = held.Digest
	}
	if stored != expect {
		return errors.New("somebody else changed it first")
	}
	l.store(p)
	l.puts = append(l.puts, p)
	if l.after != nil {
		return l.after()
	}
	return nil
}

// stored returns what pollers stored.
func (l *ledger) stored() []*federation.Published {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.puts)
}

func (l *ledger) tell(c fetch.Change) {
	for w := range l.watchers {
		w.change.Relationships = append(w.change.Relationships, c.Relationships...)
		w.change.Bundles = append(w.change.Bundles, c.Bundles...)
		select {
		case w.woken <- struct{}{}:
		default:
		}
	}
}

func (l *ledger) Watch() fetch.Watcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &watcher{ledger: l, woken: make(chan struct{}, 1)}
	l.watchers[w] = struct{}{}
	return w
}

type watcher struct {
	ledger *ledger
	woken  chan struct{}
	change fetch.Change
}

func (w *watcher) Wait(ctx context.Context) (fetch.Change, error) {
	select {
	case <-ctx.Done():
		return fetch.Change{}, ctx.Err()
	case <-w.woken:
	}
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	c := w.change
	w.change = fetch.Change{}
	return c, w.ledger.closed
}

func (w *watcher) Close() {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	delete(w.ledger.watchers, w)
}

// run runs a pool over l until the test ends, and checks that it ends then.
func run(t *testing.T, l *ledger, o fetch.Options) *fetch.Pool {
	t.Helper()
	o.Ledger, o.Store = l, l
	pool := fetch.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- pool.Run(ctx) }()
	for err := fetch.ErrNotRunning; errors.Is(err, fetch.ErrNotRunning); {
		runtime.Gosched()
		_, err = pool.Refresh(ctx, own) // nobody is own's peer: this only tells whether Run has begun
	}
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run did not return")
		}
	})
	return pool
}
