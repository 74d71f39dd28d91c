// Package memcluster is a cluster of one in memory, with the real state, real
// keys and a real issuer behind a real registrar, for the tests of what
// administers a trust domain. It has no log and no disk.
package memcluster

import (
	"log/slog"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
)

// Staleness is how long a node of the cluster issues without a leader.
const Staleness = 10 * time.Minute

// Callers with every role there is.
var (
	Admin  = broker.Caller{Name: "test:admin", Roles: []broker.Role{broker.RoleAdmin}, Cause: "test"}
	Reader = broker.Caller{Name: "test:reader", Roles: []broker.Role{broker.RoleReader}, Cause: "test"}
	Node   = broker.Caller{Name: "test:node", Roles: []broker.Role{broker.RoleNode}, Cause: "test"}
	Nobody = broker.Caller{Name: "test:nobody", Cause: "test"}
)

// Cluster is the cluster and what a test may do to it.
type Cluster struct {
	*Ledger
	Registrar *registrar.Registrar
	Peers     *Peers
	Signer    *Signer
	Status    registrar.NodeStatus // what the node says of itself
	Level     *slog.LevelVar
	Lagging   *Member // nil without Options.Lagging

	td    spiffeid.TrustDomain
	maker issue.Domain
}

// Options are what a test may want otherwise. The zero value is the default.
type Options struct {
	Settings    state.Settings // zero: state.DefaultSettings
	Log         *slog.Logger   // nil: nothing is logged
	Unfounded   bool           // the domain is not set up yet
	KeyType     ca.KeyType     // of the first authorities; "": ca.DefaultKeyType
	NoneWaiting bool           // no authority is prepared at the beginning
	Lagging     bool           // the registrar is on Lagging, which has only what it is given
}

// New founds the trust domain called name.
func New(t testing.TB, name string, opts Options) *Cluster {
	t.Helper()
	if opts.Settings == (state.Settings{}) {
		opts.Settings = state.DefaultSettings()
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.KeyType == "" {
		opts.KeyType = ca.DefaultKeyType
	}
	c := &Cluster{
		Ledger: newLedger(),
		Peers:  &Peers{},
		Level:  new(slog.LevelVar),
		Status: registrar.NodeStatus{Name: "n1", Version: "test", StartedAt: time.Now(), Ready: true, Leading: true, Leader: "n1", Heard: true},
		td:     spiffeid.RequireTrustDomainFromString(name),
	}
	c.maker = issue.Domain{Keys: keys.NewMemory(), Cluster: "test", TrustDomain: c.td, KeyType: opts.KeyType}
	c.Signer = &Signer{ledger: c.Ledger, maker: c.maker, made: map[string]*issue.Intermediate{}}
	var ledger registrar.Ledger = c.Ledger
	if opts.Lagging {
		c.Lagging = c.Member()
		ledger = c.Lagging
	}
	c.Registrar = registrar.New(registrar.Parts{
		Ledger: ledger, Peers: c.Peers, Signer: c.Signer, Keys: newKeys{c.maker, c.Ledger}, Trail: trail{c.Ledger}, Cluster: Members{c.Ledger},
		Node: func() registrar.NodeStatus { return c.Status }, Staleness: Staleness, Log: opts.Log, Level: c.Level,
	})
	if !opts.Unfounded {
		c.found(t, opts)
	}
	if c.Lagging != nil {
		c.Lagging.CatchUp()
	}
	return c
}

// TrustDomain is the domain's name.
func (c *Cluster) TrustDomain() spiffeid.TrustDomain { return c.td }

// ID returns the SPIFFE ID with a path in this domain.
func (c *Cluster) ID(path string) spiffeid.ID { return spiffeid.RequireFromPath(c.td, path) }

// NewAuthority makes an authority as the cluster's own key maker does.
func (c *Cluster) NewAuthority(t testing.TB, use ca.Use) ca.Authority {
	t.Helper()
	a, err := c.maker.NewAuthority(use, state.DefaultSettings().RootTTL, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (c *Cluster) found(t testing.TB, opts Options) {
	t.Helper()
	b := state.Bootstrap{ClusterID: "test", TrustDomain: c.td, Settings: opts.Settings}
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		for _, status := range []ca.Status{ca.Active, ca.Prepared} {
			if status == ca.Prepared && opts.NoneWaiting {
				continue
			}
			a := c.NewAuthority(t, use)
			a.Status = status
			b.Authorities = append(b.Authorities, a)
		}
	}
	c.Do(t, b)
}

// Do commits a command without asking anybody.
func (c *Cluster) Do(t testing.TB, command state.Command) {
	t.Helper()
	if _, err := c.Propose(t.Context(), broker.Act{Actor: "test", Cause: "test", At: time.Now()}, command); err != nil {
		t.Fatalf("%T: %v", command, err)
	}
}

// X509Bundle is the domain's X.509 bundle, as go-spiffe verifies with it.
func (c *Cluster) X509Bundle() *x509bundle.Bundle {
	return x509bundle.FromX509Authorities(c.td, c.View().Own().Bundle.X509)
}

// JWTBundle is the domain's JWT bundle, as go-spiffe verifies with it.
func (c *Cluster) JWTBundle() *jwtbundle.Bundle {
	b := jwtbundle.New(c.td)
	for _, a := range c.View().Own().Bundle.JWT {
		_ = b.AddJWTAuthority(a.ID, a.Key) // fails for an empty ID only
	}
	return b
}
