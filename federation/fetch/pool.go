package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

// What Refresh returns when there is no poll to wait for.
var (
	// ErrNoRelationship: the domain is not followed, or no longer.
	ErrNoRelationship = errors.New("there is no relationship with this trust domain: create it with `concord federation create`")
	// ErrNotRunning: this node does not poll now; another one may.
	ErrNotRunning = errors.New("this node does not poll peers now: ask the leader")
)

// Options are what a Pool needs.
type Options struct {
	Ledger Ledger
	Store  Store
	Log    *slog.Logger // nil: nothing is logged

	// DenyNetworks are closed to every fetch, whatever was configured.
	DenyNetworks []netip.Prefix
	Limits       Limits

	Resolver Resolver // nil: the system's
	Dial     DialFunc // nil: TCP
}

// Pool polls the bundle of every domain that there is a relationship with.
type Pool struct {
	ledger  Ledger
	store   Store
	log     *slog.Logger
	fetcher *fetcher

	mu      sync.Mutex
	running context.Context // Run's; nil while it does not run
	pollers map[spiffeid.TrustDomain]*poller
	// anchored are the pollers whose endpoint the bundle of a domain authenticates.
	anchored map[spiffeid.TrustDomain]map[*poller]struct{}
	working  sync.WaitGroup // pollers, those of removed relationships too
}

// New returns a Pool that does nothing until Run.
func New(o Options) *Pool {
	dialer := &dialer{resolver: o.Resolver, dial: o.Dial, deny: o.DenyNetworks}
	limits := o.Limits.withDefaults()
	dialer.timeout = limits.Connect
	if dialer.resolver == nil {
		dialer.resolver = net.DefaultResolver
	}
	if dialer.dial == nil {
		dialer.dial = (&net.Dialer{KeepAlive: -1}).DialContext // the polls themselves probe a kept connection
	}
	return &Pool{
		ledger:   o.Ledger,
		store:    o.Store,
		log:      cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		fetcher:  &fetcher{dialer: dialer, limits: limits},
		pollers:  map[spiffeid.TrustDomain]*poller{},
		anchored: map[spiffeid.TrustDomain]map[*poller]struct{}{},
	}
}

// Run polls until ctx ends, and then returns nil. Its pollers live on ctx, never on a
// caller's request, and have all returned when Run returns. It may be called
// again afterwards; a second call beside a first fails.
func (p *Pool) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	watcher := p.ledger.Watch()
	defer watcher.Close()
	if err := p.begin(ctx); err != nil {
		cancel()
		return err
	}
	defer p.end()
	defer cancel()
	p.follow(Change{Everything: true})
	for {
		change, err := watcher.Wait(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow the relationships: %w", err)
		}
		p.follow(change)
	}
}

func (p *Pool) begin(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return errors.New("the pollers run already")
	}
	p.running = ctx
	return nil
}

// end forgets the pollers, whose context is over, and waits for them. Only then
// may Run be called again.
func (p *Pool) end() {
	p.mu.Lock()
	clear(p.pollers)
	clear(p.anchored)
	p.mu.Unlock()
	p.working.Wait()
	p.mu.Lock()
	p.running = nil
	p.mu.Unlock()
}

// Status says how the relationship with td fares; false if this node does not
// poll td.
func (p *Pool) Status(td spiffeid.TrustDomain) (federation.Status, bool) {
	p.mu.Lock()
	poller := p.pollers[td]
	p.mu.Unlock()
	if poller == nil {
		return federation.Status{}, false
	}
	return poller.status(), true
}

// Statuses says how every relationship fares that this node polls, by trust domain.
func (p *Pool) Statuses() map[string]federation.Status {
	p.mu.Lock()
	pollers := maps.Clone(p.pollers)
	p.mu.Unlock()
	all := make(map[string]federation.Status, len(pollers))
	for td, poller := range pollers {
		all[td.Name()] = poller.status()
	}
	return all
}

// Following is how many peers this node polls.
func (p *Pool) Following() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pollers)
}

// Refresh polls td now and returns how that went: Status.LastError is empty if
// it succeeded. A poll that runs already is not what was asked for; the next
// one is, and all who ask for it share it. Errors are ErrNoRelationship,
// ErrNotRunning and that of ctx, which ends the waiting and never the poll.
func (p *Pool) Refresh(ctx context.Context, td spiffeid.TrustDomain) (federation.Status, error) {
	for {
		poller, err := p.find(td)
		if err != nil {
			return federation.Status{}, err
		}
		turn := poller.request()
		select {
		case <-turn:
			return poller.status(), nil
		case <-ctx.Done():
			return poller.status(), ctx.Err()
		case <-poller.gone: // the relationship changed or went: see which
		}
	}
}

// find returns td's poller. A relationship that was committed a moment ago may
// be followed here first; its poller lives on Run's context like any other.
func (p *Pool) find(td spiffeid.TrustDomain) (*poller, error) {
	p.follow(Change{Relationships: []spiffeid.TrustDomain{td}})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil || p.running.Err() != nil {
		return nil, ErrNotRunning
	}
	if poller := p.pollers[td]; poller != nil {
		return poller, nil
	}
	return nil, ErrNoRelationship
}
