package memnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concord-id/concord/tests/memnet"
)

// two are two hosts with a connection between them.
type two struct {
	network *memnet.Network
	a, b    *memnet.Host
	near    net.Conn // of a
	far     net.Conn // of b
}

func connected(t *testing.T) two {
	t.Helper()
	n := memnet.New()
	w := two{network: n, a: n.Host("10.0.0.1"), b: n.Host("10.0.0.2")}
	listener, err := w.b.Listen("10.0.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	if w.near, err = w.a.Dial(t.Context(), "tcp", "10.0.0.2:80"); err != nil {
		t.Fatal(err)
	}
	if w.far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return w
}

// hears reads n bytes within a second.
func hears(t *testing.T, c net.Conn, n int) (string, error) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, n)
	read, err := io.ReadFull(c, got)
	return string(got[:read]), err
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsSentOverACutLinkArrivesWhenItIsHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connected(t)
		w.network.Cut(w.a, w.b)
		say(t, w.near, "there")
		if got, err := hears(t, w.far, 5); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("over a cut link came %q, %v", got, err)
		}
		say(t, w.far, "back") // the other direction is whole
		if got, err := hears(t, w.near, 4); got != "back" {
			t.Errorf("the other way came %q, %v", got, err)
		}
		w.network.Heal(w.a, w.b)
		if got, err := hears(t, w.far, 5); got != "there" {
			t.Errorf("over the healed link came %q, %v", got, err)
		}
	})
}

func TestAnEndIsHeardAfterWhatWasSentBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connected(t)
		say(t, w.near, "last")
		w.network.Cut(w.a, w.b)
		w.near.Close()
		if _, err := hears(t, w.far, 1); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("an end was heard over a cut link: %v", err)
		}
		say(t, w.far, "to nobody") // it has not heard of the end
		w.network.Heal(w.a, w.b)
		if got, err := hears(t, w.far, 5); got != "last" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after healing came %q, %v", got, err)
		}
		if _, err := w.far.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("a write to who has gone: %v", err)
		}
		if _, err := w.near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a read of a closed end: %v", err)
		}
	})
}

func TestADialNeedsBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connected(t)
		w.network.Cut(w.b, w.a)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.a.Dial(short, "tcp", "10.0.0.2:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it was dialled: %v", err)
		}
		time.AfterFunc(time.Minute, func() { w.network.Heal(w.b, w.a) })
		if c, err := w.a.Dial(t.Context(), "tcp", "10.0.0.2:80"); err != nil {
			t.Errorf("after healing: %v", err)
		} else {
			c.Close()
		}
		if _, err := w.a.Dial(t.Context(), "tcp", "10.0.0.2:81"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("where nobody listens: %v", err)
		}
		if _, err := w.b.Listen("10.0.0.2:80"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a port was taken twice: %v", err)
		}
	})
}

func TestAWriterWaitsForAReaderThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connected(t)
		if err := w.near.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		sent, err := w.near.Write(make([]byte, 2<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || sent != 1<<20 {
			t.Errorf("%d bytes were sent, %v", sent, err)
		}
	})
}

func TestWhatIsOnItsWayIsLostWithTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connected(t)
		w.network.Cut(w.a, w.b)
		say(t, w.near, "lost")
		w.near.Close()
		w.network.Drop(w.a)
		w.network.Heal(w.a, w.b)
		if got, err := hears(t, w.far, 1); !errors.Is(err, io.EOF) {
			t.Errorf("of a host without power came %q, %v", got, err)
		}
	})
}
