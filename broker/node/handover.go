package node

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/concord-id/concord/ca"
)

// handoverTime is how long a call waits for the next authority when that which
// signed has been revoked. Getting the next one takes milliseconds; to a caller a
// refusal meanwhile would be a failed call or handshake.
const handoverTime = time.Second

// handover is the time in which the issuer has nothing to sign with and soon will.
type handover struct {
	mu     sync.Mutex
	begun  time.Time     // zero: nobody has found the issuer without since it last could sign
	turned chan struct{} // closed at the next turn of the issuer; nil: nobody waits
}

// end wakes whoever waits; able says whether the issuer can sign all it should.
func (h *handover) end(able bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if able {
		h.begun = time.Time{}
	}
	if h.turned != nil {
		close(h.turned)
		h.turned = nil
	}
}

// wait returns what is closed at the next turn, and how long to wait for it: not at
// all once handoverTime is over.
func (h *handover) wait(now time.Time) (turned <-chan struct{}, patience time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.begun.IsZero() {
		h.begun = now
	}
	if h.turned == nil {
		h.turned = make(chan struct{})
	}
	return h.turned, handoverTime - now.Sub(h.begun)
}

// signed does what needs the issuer, and does it again when the issuer turned, if that had
// nothing to sign with.
func signed[T any](n *Node, do func(now time.Time) (T, error)) (T, error) {
	done, err := do(time.Now())
	for errors.Is(err, ca.ErrNotReady) {
		turned, patience := n.handover.wait(time.Now())
		// Once more: it may have turned before anybody waited.
		if done, err = do(time.Now()); !errors.Is(err, ca.ErrNotReady) || patience <= 0 {
			return done, err
		}
		timer := time.NewTimer(patience)
		select {
		case <-turned:
			timer.Stop()
		case <-timer.C:
		}
		done, err = do(time.Now())
	}
	return done, err
}

// x509SVID signs with this node's intermediate. An SVID whose authority was removed from the
// bundle while the keeper had not heard of it is signed anew (DESIGN §2.2, FD-3).
func (n *Node) x509SVID(r ca.X509Request) (ca.X509SVID, error) {
	return signed(n, func(now time.Time) (ca.X509SVID, error) {
		svid, err := n.issuer.X509SVID(r, now)
		if err == nil {
			err = n.published(ca.X509, svid.AuthorityID)
		}
		return svid, err
	})
}

// jwtSVID signs with the domain's JWT key, as x509SVID does. Once another key is
// active here, that one signs: the keeper has it within milliseconds.
func (n *Node) jwtSVID(r ca.JWTRequest) (ca.JWTSVID, error) {
	return signed(n, func(now time.Time) (ca.JWTSVID, error) {
		svid, err := n.issuer.JWTSVID(r, now)
		if err == nil {
			err = n.signing(ca.JWT, svid.AuthorityID)
		}
		return svid, err
	})
}

// published says whether an authority is in the bundle, now.
func (n *Node) published(use ca.Use, id string) error {
	if _, ok := n.replica.View().Authority(use, id); !ok {
		return fmt.Errorf("%s authority %s was removed: %w", use, id, ca.ErrNotReady)
	}
	return nil
}

// signing says whether an authority is the one that signs, now.
func (n *Node) signing(use ca.Use, id string) error {
	if a, ok := n.replica.View().Authority(use, id); !ok || a.Status != ca.Active {
		return fmt.Errorf("%s authority %s signs no more: %w", use, id, ca.ErrNotReady)
	}
	return nil
}
