package node

import (
	"context"
	"fmt"
	"time"

	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/federation/endpoint"
)

// ownBundle is what the bundle endpoint serves.
type ownBundle struct{ truth }

func (b ownBundle) Current() endpoint.Current {
	since, heard := b.replica.Staleness()
	c := endpoint.Current{Bundle: b.replica.View().Own(), Stale: !heard || since > b.maxStaleness}
	// With a leader the view is confirmed many times a second: that is not an age.
	if since > confirmedWithin {
		c.Age = since
	}
	return c
}

// confirmedWithin is how old a view is while there is a leader, at most. With what
// the leader's word takes to arrive it is under a second: nobody who asks one member
// after another sees more than that go back without being told.
const confirmedWithin = 500 * time.Millisecond

func (b ownBundle) Wait(ctx context.Context, sequence uint64) error {
	watcher := b.replica.Feed().Watch()
	for {
		view, _, err := watcher.Wait(ctx)
		if err != nil {
			return err
		}
		if own := view.Own(); own != nil && own.Bundle.Sequence >= sequence {
			return nil
		}
	}
}

func (n *Node) serveBundle() error {
	certificate := n.serverCertificate
	if n.config.BundleProfile == federation.HTTPSWeb {
		files, err := endpoint.Files(n.config.BundleCert, n.config.BundleKey, n.log)
		if err != nil {
			return fmt.Errorf("bundle-cert, bundle-key: %w", err)
		}
		certificate = files.Certificate
	}
	n.doors.endpoint = endpoint.NewHandler(ownBundle{n.truth})
	n.doors.server = endpoint.NewServer(endpoint.Options{
		Handler: n.doors.endpoint, Certificate: certificate, Profile: n.config.BundleProfile, Log: n.log,
	})
	n.open("bundle endpoint", func(ctx context.Context) error { return n.doors.server.Serve(ctx, n.doors.bundle) })
	return nil
}
