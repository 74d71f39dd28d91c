package node

import (
	"context"
	"time"

	"github.com/concord-id/concord/broker"
)

// keyCareRetry is how long the leader rests after a step that failed.
const keyCareRetry = time.Second

// tendKeys is the leader's care of what the authorities' keys need after a removal,
// or because an operator asked: another key-encryption key, and other authorities
// in the place of those that a compromised member could open. It goes by the state
// alone, so whoever leads next goes on where this one stopped.
func (n *Node) tendKeys(ctx context.Context) {
	watcher := n.replica.Feed().Watch()
	defer n.keyCare.Store(nil)
	for ctx.Err() == nil {
		wake, err := n.nextKeyStep(ctx)
		n.noteKeyCare(ctx, err)
		waiting, cancel := ctx, context.CancelFunc(func() {})
		switch {
		case wake.IsZero(): // nothing is to be done before the state changes
		case time.Now().Before(wake):
			waiting, cancel = context.WithDeadline(ctx, wake)
		default:
			continue
		}
		if err != nil { // however often the state changes
			<-waiting.Done()
		} else {
			watcher.Wait(waiting)
		}
		cancel()
	}
}

// noteKeyCare keeps why the care is not done, for whoever asks, and says so once.
func (n *Node) noteKeyCare(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		n.keyCare.Store(nil)
		return
	}
	words := err.Error()
	last := n.keyCare.Swap(&words)
	if last == nil || *last != words {
		n.log.Warn("what the authorities' keys need after a removal, or was asked for, waits", "error", err)
	}
}

// nextKeyStep does what is to be done next and says when to look again; zero if
// nothing is left.
func (n *Node) nextKeyStep(ctx context.Context) (time.Time, error) {
	view := n.replica.View()
	if _, member := view.Member(string(n.replica.ID())); !member {
		return time.Time{}, nil // whoever leads next does it: this node must not know the new key
	}
	if due, is := view.ResealDue(); is {
		err := n.reseal(ctx, view, due)
		return n.stepDone(err)
	}
	if len(view.Turning()) == 0 {
		return time.Time{}, nil
	}
	return n.turnExposed(ctx, view)
}

// stepDone is when to look again after a step. What was refused because the state
// was another one meanwhile is no failure.
func (n *Node) stepDone(err error) (time.Time, error) {
	switch broker.CodeOf(err) {
	case broker.Aborted:
		n.log.Debug("a step for the keys was made from an older view", "error", err)
		return time.Now().Add(leaderLook), nil
	case "":
		if err == nil {
			return time.Now(), nil
		}
	}
	return time.Now().Add(keyCareRetry), err
}
