package node

import (
	"context"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/feed"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// authorities is the truth about signing authorities, as the machines of ca
// want it. Each machine has its own: Wait remembers what it has seen.
type authorities struct {
	replica      *replica.Replica
	watcher      *feed.Watcher
	maxStaleness time.Duration
}

func (n *Node) authorities() *authorities {
	return &authorities{replica: n.replica, watcher: n.replica.Feed().Watch(), maxStaleness: n.config.MaxStaleness}
}

func (a *authorities) Authorities(use ca.Use) []ca.Authority {
	return a.replica.View().Authorities(use)
}

func (a *authorities) Terms() ca.Terms {
	return registrar.Terms(a.replica.View(), a.maxStaleness)
}

// Wait returns when authorities or the settings of their life changed. The
// longest TTL of an entry counts too, but only at an activation, which reads
// the terms afresh.
func (a *authorities) Wait(ctx context.Context) error {
	for {
		_, c, err := a.watcher.Wait(ctx)
		if err != nil {
			return err
		}
		if c.Everything || c.Authorities || c.Settings || c.Own {
			return nil
		}
	}
}

// turning is authorities with the way to change them, in the name of this node.
type turning struct {
	*authorities
	node *Node
}

func (t turning) propose(ctx context.Context, cause string, c state.Command) error {
	_, err := t.replica.Propose(ctx, t.node.act(cause), c)
	return err
}

func (t turning) Prepare(ctx context.Context, a ca.Authority) error {
	return t.propose(ctx, "rotation: the next authority", state.PrepareAuthority{Authority: a})
}

func (t turning) Activate(ctx context.Context, use ca.Use, id string, vouchFor time.Duration) error {
	return t.propose(ctx, "rotation: by age", state.ActivateAuthority{Use: use, ID: id, VouchFor: vouchFor})
}

func (t turning) Remove(ctx context.Context, use ca.Use, id string, revoke bool) error {
	return t.propose(ctx, "rotation: no SVID needs it any more", state.RemoveAuthority{Use: use, ID: id, Revoke: revoke})
}

// act is this node as an author.
func (n *Node) act(cause string) broker.Act {
	return broker.Act{Actor: "node:" + n.config.NodeName, Cause: cause, RequestID: newUUID(), At: n.around.now()}
}

// keyMaker makes authorities for the registrar.
type keyMaker struct{ n *Node }

func (k keyMaker) NewAuthority(_ context.Context, use ca.Use, kind ca.KeyType) (ca.Authority, error) {
	domain := k.n.domain
	if kind != "" {
		domain.KeyType = kind
	}
	settings, _ := k.n.replica.View().Domain()
	return domain.NewAuthority(use, settings.Settings.RootTTL, time.Now())
}
