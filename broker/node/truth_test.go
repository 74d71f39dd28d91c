package node_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
	"github.com/concord-id/concord/workload"
)

const maxStaleness = 10 * time.Minute

var (
	acme    = spiffeid.RequireTrustDomainFromString("acme.example")
	billing = spiffeid.RequireFromPath(acme, "/billing")
	one     = []attest.Selector{{Type: "unix", Value: "uid:1"}}
	silent  = slog.New(slog.DiscardHandler)
)

// domain is a trust domain on a cluster of three in this process, and what its
// first member knows of it.
type domain struct {
	t          *testing.T
	maker      issue.Domain
	members    []*replica.Replica
	transports []*raft.InmemTransport
	node       *node.Node // of members[0]

	mu    sync.Mutex
	byID  map[raft.ServerID]*replica.Replica
	apart bool // nobody reaches anybody
}

// line carries calls between the members, while they reach each other.
type line struct {
	d    *domain
	from raft.ServerID
}

func (l line) Call(ctx context.Context, to raft.ServerID, name string, body []byte) ([]byte, error) {
	l.d.mu.Lock()
	m := l.d.byID[to]
	if l.d.apart {
		m = nil
	}
	l.d.mu.Unlock()
	if m == nil {
		return nil, replica.ErrUnreached
	}
	return m.Answer(ctx, replica.Peer{ID: l.from}, name, body)
}

type memory struct{ *raft.InmemStore }

func (memory) Close() error { return nil }

func newDomain(t *testing.T) *domain {
	t.Helper()
	d := &domain{t: t, byID: map[raft.ServerID]*replica.Replica{}, maker: issue.Domain{Keys: keys.NewMemory(), Cluster: "test", TrustDomain: acme, KeyType: ca.P256}}
	var servers []raft.Server
	for n := range 3 {
		address, transport := raft.NewInmemTransport(raft.ServerAddress(fmt.Sprint("n", n)))
		servers = append(servers, raft.Server{ID: raft.ServerID(address), Address: address})
		d.transports = append(d.transports, transport)
	}
	for n, server := range servers {
		for _, other := range d.transports {
			d.transports[n].Connect(other.LocalAddr(), other)
		}
		m := openMember(t, replica.Options{Transport: d.transports[n], ID: server.ID, Servers: servers, Line: line{d, server.ID}})
		d.members = append(d.members, m)
		d.mu.Lock()
		d.byID[server.ID] = m
		d.mu.Unlock()
	}
	agent, err := workload.AgentID(acme, "n0")
	if err != nil {
		t.Fatal(err)
	}
	d.node = node.Knowing(d.members[0], agent, maxStaleness)
	return d
}

func openMember(t *testing.T, opts replica.Options) *replica.Replica {
	t.Helper()
	opts.Dir, opts.Log = t.TempDir(), silent
	opts.OpenStore = func(string) (replica.Store, error) { return memory{raft.NewInmemStore()}, nil }
	r, err := replica.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// part has nobody reach anybody any more.
func (d *domain) part() {
	d.mu.Lock()
	d.apart = true
	d.mu.Unlock()
	for _, transport := range d.transports {
		transport.DisconnectAll()
	}
}

// authority makes an authority of the domain, which nobody has published yet.
func (d *domain) authority(use ca.Use) ca.Authority {
	d.t.Helper()
	a, err := d.maker.NewAuthority(use, 90*24*time.Hour, time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	a.Status = ca.Active
	return a
}

// found makes the domain with these authorities, the node's agent and an entry.
func (d *domain) found(authorities ...ca.Authority) {
	d.t.Helper()
	d.propose(state.Bootstrap{ClusterID: "test", TrustDomain: acme, Settings: state.DefaultSettings(), Authorities: authorities})
	d.register(false)
	d.propose(state.PutEntry{Entry: workload.Entry{ID: "billing", SPIFFEID: billing, Selectors: one}})
	for heard := false; !heard; _, heard = d.members[0].Staleness() {
		time.Sleep(50 * time.Millisecond)
	}
}

// register makes the node's agent, or bans it.
func (d *domain) register(banned bool) {
	d.t.Helper()
	d.propose(state.PutAgent{Agent: state.Agent{
		ID: d.node.Agent(), Method: "concord:node", Selectors: []attest.Selector{{Type: "concord", Value: "node"}}, AttestedAt: time.Now(), Banned: banned,
	}})
}

// propose commits c, and waits until every member has applied it.
func (d *domain) propose(c state.Command) {
	d.t.Helper()
	act := broker.Act{Actor: "node:n0", Cause: "test", RequestID: rand.Text(), At: time.Now()}
	for range 100 {
		for _, m := range d.members {
			if !m.Leading() {
				continue
			}
			applied, err := m.Propose(d.t.Context(), act, c)
			if err != nil {
				d.t.Fatal(err)
			}
			for _, m := range d.members {
				if err := m.WaitIndex(d.t.Context(), applied.Index); err != nil {
					d.t.Fatal(err)
				}
			}
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.t.Fatal("nobody leads")
}

// signWith lets the node sign with authorities, whether published or not.
func (d *domain) signWith(root, token ca.Authority) {
	d.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	der, err := d.maker.SignIntermediate(root, key.Public(), 24*time.Hour, time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	intermediate, err := issue.NewIntermediate(der, key, root.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	signer, err := d.maker.Open(token)
	if err != nil {
		d.t.Fatal(err)
	}
	jwt, err := issue.NewJWTKey(acme, token, signer)
	if err != nil {
		d.t.Fatal(err)
	}
	d.node.Issuer().SetX509(intermediate)
	d.node.Issuer().SetJWT(jwt)
}

// answers is what the node says of each thing that it may speak for the domain in.
func (d *domain) answers() map[string]error {
	d.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	_, ledger := d.node.Ledger()
	_, x509 := d.node.Signer().X509SVID(ca.X509Request{ID: billing, PublicKey: key.Public(), TTL: time.Hour})
	_, jwt := d.node.Signer().JWTSVID(ca.JWTRequest{ID: billing, Audience: []string{"a"}, TTL: time.Minute})
	bundle := error(nil)
	if d.node.OwnBundle().Current().Stale {
		bundle = ca.ErrNotReady
	}
	return map[string]error{"what workloads may have": ledger, "an X.509-SVID": x509, "a token": jwt, "the bundle": bundle}
}

func TestAStaleNodeSpeaksForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDomain(t)
		root, token := d.authority(ca.X509), d.authority(ca.JWT)
		d.found(root, token)
		d.signWith(root, token)
		d.part()
		time.Sleep(maxStaleness - 10*time.Second)
		for what, err := range d.answers() {
			if err != nil {
				t.Errorf("%s, before the limit: %v", what, err)
			}
		}
		time.Sleep(20 * time.Second)
		for what, err := range d.answers() {
			if !errors.Is(err, ca.ErrNotReady) {
				t.Errorf("%s, past the limit: %v", what, err)
			}
		}
	})
}

func TestANodeThatHeardNoLeaderSpeaksForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDomain(t)
		root, token := d.authority(ca.X509), d.authority(ca.JWT)
		d.signWith(root, token)
		d.part()
		time.Sleep(time.Second)
		for what, err := range d.answers() {
			if !errors.Is(err, ca.ErrNotReady) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

func TestFD_3_NothingIsSignedByAnAuthorityThatIsNotInTheBundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDomain(t)
		root, token := d.authority(ca.X509), d.authority(ca.JWT)
		d.found(root, token)
		d.signWith(d.authority(ca.X509), d.authority(ca.JWT))
		answers := d.answers()
		for _, what := range []string{"an X.509-SVID", "a token"} {
			if err := answers[what]; !errors.Is(err, ca.ErrNotReady) {
				t.Errorf("%s: %v", what, err)
			}
		}
		d.signWith(root, token)
		for what, err := range d.answers() {
			if err != nil {
				t.Errorf("%s, by the bundle's own: %v", what, err)
			}
		}
	})
}

func TestABannedNodeHasNoEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDomain(t)
		d.found(d.authority(ca.X509), d.authority(ca.JWT))
		for _, banned := range []bool{false, true} {
			d.register(banned)
			ledger, err := d.node.Ledger()
			if err != nil {
				t.Fatal(err)
			}
			if got := ledger.EntriesFor(one); (len(got) == 0) != banned {
				t.Errorf("banned %v: %d entries", banned, len(got))
			}
		}
	})
}
