package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
	"github.com/concord-id/concord/workload"
)

// newUUID returns a random UUID (RFC 9562 §5.4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// settings are those that the configuration asks for.
func (c Config) settings() state.Settings {
	return state.Settings{
		RefreshHint:       c.RefreshHint,
		PublicationWindow: c.PublicationWindow,
		X509TTL:           c.X509TTL,
		JWTTTL:            c.JWTTTL,
		IntermediateTTL:   c.IntermediateTTL,
		RootTTL:           c.RootTTL,
	}
}

// settle makes the domain if this is its first start, checks that the
// configuration is for the domain that is kept here, and brings the settings
// and this node's agent up to date. It runs once there is a leader.
func (n *Node) settle(ctx context.Context) error {
	domain, known := n.replica.View().Domain()
	if !known {
		if err := n.found(ctx); err != nil {
			return fmt.Errorf("set up the trust domain: %w", err)
		}
		domain, _ = n.replica.View().Domain()
	}
	if want := n.config.TrustDomain; want != "" && want != domain.TrustDomain.Name() {
		return fmt.Errorf("trust-domain is %s, but %s holds the state of %s: set trust-domain to that, or data-dir to another directory",
			want, n.config.DataDir, domain.TrustDomain.Name())
	}
	n.domain = issue.Domain{Keys: n.keys, Cluster: domain.ClusterID, TrustDomain: domain.TrustDomain, KeyType: n.config.KeyType}
	if err := n.awaitKEK(ctx); err != nil {
		return err
	}
	if err := n.checkKeys(); err != nil {
		return err
	}
	agent, err := workload.AgentID(domain.TrustDomain, n.config.NodeName)
	if err != nil {
		return fmt.Errorf("node-name: %w", err)
	}
	n.truth.agent = agent
	if err := n.bringSettings(ctx, domain.Settings); err != nil {
		return fmt.Errorf("bring the domain's settings up to date: %w", err)
	}
	if err := n.register(ctx); err != nil {
		return err
	}
	return n.registerAgent(ctx)
}

// bringSettings makes the domain's settings those of this node's configuration,
// if that changed since this node was started last: several members may be
// configured differently, and the newest word of a person counts, not the newest
// start of a process.
func (n *Node) bringSettings(ctx context.Context, current state.Settings) error {
	wanted := n.config.settings()
	if me, known := n.replica.View().Member(string(n.replica.ID())); current == wanted || known && me.Settings == settingsDigest(wanted) {
		return nil
	}
	return n.insist(ctx, "the configuration of this node", state.PutSettings{Settings: wanted})
}

// settingsDigest stands for settings in a member's record.
func settingsDigest(s state.Settings) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%+v", s))
}

// startRecord is the record of this start of this node, and who made it: however often
// this process proposes it, it is one start.
func (n *Node) startRecord() (broker.Act, state.PutMember) {
	act := n.act("a start of this node")
	act.RequestID = "start." + n.startID
	return act, state.PutMember{Member: state.Member{
		ID: string(n.replica.ID()), Name: n.config.NodeName, Address: string(n.replica.Advertised()), Incarnation: n.replica.Incarnation(),
		Version: n.version, Commands: n.around.commands(), Settings: settingsDigest(n.config.settings()),
	}}
}

// register records this start.
func (n *Node) register(ctx context.Context) error {
	act, record := n.startRecord()
	if err := n.insistAs(ctx, act, record); err != nil {
		return fmt.Errorf("register this start: %w", err)
	}
	return nil
}

// insist proposes until it is decided: a cluster whose leader changes, or that
// is short of members for a while, is waited for.
func (n *Node) insist(ctx context.Context, cause string, c state.Command) error {
	return n.insistAs(ctx, n.act(cause), c)
}

func (n *Node) insistAs(ctx context.Context, act broker.Act, c state.Command) error {
	for {
		applied, err := n.replica.Propose(ctx, act, c)
		if err == nil {
			return n.replica.WaitIndex(ctx, applied.Index)
		}
		if broker.CodeOf(err) != broker.Unavailable || n.replica.Stopped() {
			return err
		}
		n.log.Warn("waiting for a leader", "to", act.Cause, "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(leaderLook):
		}
	}
}

// checkKeys refuses keys that this node cannot open and never will: it would run
// and issue nothing, or replace keys that are not lost. Keys that are lost are
// replaced (replaceLost).
func (n *Node) checkKeys() error {
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		for _, a := range n.replica.View().Authorities(use) {
			if a.Status == ca.Old {
				continue // it signs no more
			}
			if _, err := n.domain.Open(a); err != nil && !errors.Is(err, keys.ErrKeyLost) {
				return err
			}
		}
	}
	return nil
}

// found makes the first authorities and, with the first bundle, the next ones.
func (n *Node) found(ctx context.Context) error {
	name := n.config.TrustDomain
	if name == "" {
		name = newUUID()
	}
	td, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return err
	}
	cluster := newUUID()
	domain := issue.Domain{Keys: n.keys, Cluster: cluster, TrustDomain: td, KeyType: n.config.KeyType}
	var all []ca.Authority
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		for _, status := range []ca.Status{ca.Active, ca.Prepared} {
			a, err := domain.NewAuthority(use, n.config.RootTTL, time.Now())
			if err != nil {
				return fmt.Errorf("make a key: %w", err)
			}
			a.Status = status
			all = append(all, a)
		}
	}
	_, err = n.replica.Propose(ctx, n.act("first start"), state.Bootstrap{
		ClusterID: cluster, TrustDomain: td, Settings: n.config.settings(), Authorities: all,
	})
	return err
}

// registerAgent records this node's embedded agent, an ordinary agent.
func (n *Node) registerAgent(ctx context.Context) error {
	agent := state.Agent{
		ID:         n.truth.agent,
		Method:     "concord:node",
		Selectors:  []attest.Selector{{Type: "concord", Value: "node"}},
		AttestedAt: time.Now(),
		Version:    n.version,
	}
	if known, ok := n.replica.View().Agent(agent.ID); ok && known.Version == agent.Version {
		return nil
	}
	if err := n.insist(ctx, "this node's own agent", state.PutAgent{Agent: agent}); err != nil {
		return fmt.Errorf("register this node's agent: %w", err)
	}
	return nil
}
