package node

import (
	"context"
	"time"
)

const (
	// kekCallTime bounds one call about a key-encryption key.
	kekCallTime = 2 * time.Second
	// kekPatience is how long a start waits for a member that has the
	// key-encryption key; kekFirstRetry and kekLastRetry are how long a running
	// node rests between two times that it asks all of them.
	kekPatience   = 20 * time.Second
	kekFirstRetry = 100 * time.Millisecond
	kekLastRetry  = 10 * time.Second
)

// bringKEK makes the key-encryption key that seals here the one that the state
// says.
func (n *Node) bringKEK(ctx context.Context) error {
	view := n.replica.View()
	s, _ := view.Sealing()
	if s.KEK == "" || n.kek == nil {
		return nil
	}
	if !n.kek.ring.Has(s.KEK) {
		if err := n.fetchKEK(ctx, view, s); err != nil {
			return err
		}
	}
	changed, err := n.kek.use(s)
	if err == nil && changed {
		n.log.Warn("the key-encryption key is another one now: what was copied before opens nothing that is sealed from now on, so make a new copy", "kek", s.KEK, "source", n.kek.ring.Sealing().Source(), "index", s.Index)
	}
	return err
}

// awaitKEK is bringKEK at a start. The state may say another one meanwhile.
func (n *Node) awaitKEK(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, kekPatience)
	defer cancel()
	for said := false; ; said = true {
		err := n.bringKEK(ctx)
		if err == nil || n.kek != nil && !n.kek.own || n.replica.View().MemberCount() < 2 {
			return err
		}
		if !said {
			n.log.Warn("waiting for a member that has the key-encryption key", "error", err, "at_most", kekPatience)
		}
		select {
		case <-time.After(kekFirstRetry):
		case <-ctx.Done():
			return err
		}
	}
}

// followKEK is bringKEK whenever the state says another one. What fails is done
// again until it works, and is a reason why this node is not ready.
func (n *Node) followKEK(ctx context.Context) error {
	watcher := n.replica.Feed().Watch()
	wait := kekFirstRetry
	for {
		err := n.bringKEK(ctx)
		n.kekTrouble.Store(&err)
		if err == nil {
			wait = kekFirstRetry
			if _, _, err := watcher.Wait(ctx); err != nil {
				return err
			}
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n.log.Warn("this node lacks the key-encryption key and asks again", "error", err, "retry_in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, kekLastRetry)
	}
}

// troubleWithKEK is why this node cannot open what is sealed; nil if it can.
func (n *Node) troubleWithKEK() error {
	if err := n.kekTrouble.Load(); err != nil && *err != nil {
		return *err
	}
	return nil
}
