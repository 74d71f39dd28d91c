package node_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/ca"
)

// issuer is one that can sign from some moment on.
type issuer struct{ able time.Time }

func (i issuer) sign(now time.Time) (string, error) {
	if now.Before(i.able) {
		return "", fmt.Errorf("no intermediate: %w", ca.ErrNotReady)
	}
	return "signed", nil
}

func TestACallWaitsForTheNextAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, i := node.Unstarted(), issuer{time.Now().Add(30 * time.Millisecond)}
		time.AfterFunc(10*time.Millisecond, func() { n.Turn(false) }) // the other use
		time.AfterFunc(30*time.Millisecond, func() { n.Turn(true) })
		begun := time.Now()
		if got, err := n.Signed(i.sign); err != nil || got != "signed" {
			t.Errorf("got %q, %v", got, err)
		}
		if took := time.Since(begun); took != 30*time.Millisecond {
			t.Errorf("it took %s", took)
		}
	})
}

func TestACallDoesNotWaitForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, i := node.Unstarted(), issuer{time.Now().Add(time.Hour)}
		for call, want := range []time.Duration{node.HandoverTime, 0, 0} {
			begun := time.Now()
			if _, err := n.Signed(i.sign); !errors.Is(err, ca.ErrNotReady) {
				t.Errorf("call %d: %v", call, err)
			}
			if took := time.Since(begun); took != want {
				t.Errorf("call %d took %s, want %s: only the first to find out waits", call, took, want)
			}
		}
		// Once it could sign, the next time begins anew.
		n.Turn(true)
		begun := time.Now()
		n.Signed(i.sign)
		if took := time.Since(begun); took != node.HandoverTime {
			t.Errorf("after a turn it took %s", took)
		}
	})
}

func TestAnotherErrorIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, refused := time.Now(), errors.New("refused")
		_, err := node.Unstarted().Signed(func(time.Time) (string, error) { return "", refused })
		if !errors.Is(err, refused) || time.Since(begun) != 0 {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}
