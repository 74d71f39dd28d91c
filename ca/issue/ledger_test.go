package issue_test

import (
	"context"
	"crypto"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
)

// ledger is the committed truth of a test.
type ledger struct {
	changed chan struct{} // holds one: the latest value wins

	mu          sync.Mutex
	authorities []ca.Authority
	terms       ca.Terms
	broken      error
}

func newLedger(authorities ...ca.Authority) *ledger {
	return &ledger{
		changed:     make(chan struct{}, 1),
		authorities: authorities,
		terms:       ca.Terms{Window: -1, AuthorityTTL: 90 * day, IntermediateTTL: day, JWTTTL: 5 * time.Minute, Staleness: 10 * time.Minute},
	}
}

func (l *ledger) Authorities(use ca.Use) []ca.Authority {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.authorities), func(a ca.Authority) bool { return a.Use != use })
}

func (l *ledger) Terms() ca.Terms {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.terms
}

func (l *ledger) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.changed:
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.broken
	}
}

// change commits something and wakes who waits.
func (l *ledger) change(what func(*ledger)) {
	l.mu.Lock()
	what(l)
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// set changes the authority with an ID.
func (l *ledger) set(id string, what func(*ca.Authority)) {
	l.change(func(l *ledger) {
		for i := range l.authorities {
			if l.authorities[i].ID == id {
				what(&l.authorities[i])
			}
		}
	})
}

// activate makes id the active one of its use.
func (l *ledger) activate(id string) {
	l.change(func(l *ledger) {
		at := slices.IndexFunc(l.authorities, func(a ca.Authority) bool { return a.ID == id })
		use := l.authorities[at].Use
		for i := range l.authorities {
			if a := &l.authorities[i]; a.Use == use && a.Status == ca.Active {
				a.Status = ca.Old
			}
		}
		l.authorities[at].Status = ca.Active
	})
}

func (l *ledger) remove(id string) {
	l.change(func(l *ledger) {
		l.authorities = slices.DeleteFunc(l.authorities, func(a ca.Authority) bool { return a.ID == id })
	})
}

// asked is a RootSigner that counts, and can fail or answer something else.
type asked struct {
	issue.LocalRoot

	mu     sync.Mutex
	times  []time.Time
	fail   error
	answer func(der []byte, id string) ([]byte, string)
}

func (a *asked) SignIntermediate(ctx context.Context, csr []byte) ([]byte, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times = append(a.times, time.Now())
	if a.fail != nil {
		return nil, "", a.fail
	}
	der, id, err := a.LocalRoot.SignIntermediate(ctx, csr)
	if err == nil && a.answer != nil {
		der, id = a.answer(der, id)
	}
	return der, id, err
}

func (a *asked) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.times)
}

func (a *asked) failing(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = err
}

// node is a Keeper at work in a synctest bubble, with a founded domain.
type node struct {
	*ledger
	domain           issue.Domain
	root             *asked
	issuer           *issue.Issuer
	keeper           *issue.Keeper
	x509, next       ca.Authority // active and prepared
	token, nextToken ca.Authority
	turns            chan ca.Use
	stop             context.CancelFunc
	ended            chan error
}

func keep(t *testing.T) *node {
	t.Helper()
	n := found(t)
	n.run(t)
	synctest.Wait()
	return n
}

// found makes a domain whose Keeper does not run yet.
func found(t *testing.T) *node {
	t.Helper()
	n := &node{domain: domainOf(ca.P256), issuer: issue.New(), turns: make(chan ca.Use, 1000), ended: make(chan error, 1)}
	for _, one := range []struct {
		to     *ca.Authority
		use    ca.Use
		status ca.Status
	}{{&n.x509, ca.X509, ca.Active}, {&n.next, ca.X509, ca.Prepared}, {&n.token, ca.JWT, ca.Active}, {&n.nextToken, ca.JWT, ca.Prepared}} {
		a, err := n.domain.NewAuthority(one.use, 90*day, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		a.Status = one.status
		*one.to = a
	}
	n.ledger = newLedger(n.x509, n.next, n.token, n.nextToken)
	n.root = &asked{LocalRoot: issue.LocalRoot{Domain: n.domain, Ledger: n.ledger}}
	n.keeper = issue.NewKeeper(issue.Options{
		Issuer: n.issuer, Domain: n.domain, Ledger: n.ledger, Root: n.root, Log: slog.New(slog.DiscardHandler),
		Turned: func(use ca.Use) { n.turns <- use },
	})
	return n
}

// run starts the Keeper; it ends with the test.
func (n *node) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n.stop = cancel
	go func() { n.ended <- n.keeper.Run(ctx) }()
}

// halt ends the Keeper and waits for it.
func (n *node) halt(t *testing.T) {
	t.Helper()
	n.stop()
	if err := <-n.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// turned are the turns since it was called last.
func (n *node) turned() (uses []ca.Use) {
	for {
		select {
		case use := <-n.turns:
			uses = append(uses, use)
		default:
			return uses
		}
	}
}

// stranger is a root of the domain that nobody published.
func (n *node) stranger(t *testing.T) ca.Authority {
	t.Helper()
	a, err := n.domain.NewAuthority(ca.X509, 90*day, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a.Status = ca.Active
	return a
}

// answerBy answers with an intermediate by root under the name id.
func (n *node) answerBy(root ca.Authority, id string) {
	n.root.LocalRoot.Ledger = newLedger(root)
	n.root.answer = func(der []byte, _ string) ([]byte, string) { return der, id }
}

// acmesKeys opens acme's keys for whoever asks.
type acmesKeys struct{ issue.Keys }

func (k acmesKeys) Open(b ca.Binding, sealed []byte) (crypto.Signer, error) {
	b.TrustDomain = acme
	return k.Keys.Open(b, sealed)
}
