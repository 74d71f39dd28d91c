package wire_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/concord-id/concord/tests/fault/wire"
)

// pair are two hosts, the second of which answers what it is sent.
func pair(t *testing.T) (w *wire.Wire, a, b *wire.Host, echo string) {
	t.Helper()
	w = wire.New(rand.New(rand.NewPCG(1, 1)))
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	var hosts [2]*wire.Host
	for i := range hosts {
		h, err := w.Host(byte(i + 1))
		if errors.Is(err, wire.ErrNotAllowed) {
			t.Skip(wire.ErrNotAllowed)
		}
		if err != nil {
			t.Fatal(err)
		}
		hosts[i] = h
	}
	listener, err := hosts[1].Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go io.Copy(conn, conn)
		}
	}()
	return w, hosts[0], hosts[1], listener.Addr().String()
}

// say sends a line and waits for it to come back.
func say(conn net.Conn, within time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("line\n")); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 5))
	return err
}

func dial(t *testing.T, from *wire.Host, to string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp4", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestHostsReachOneAnotherAndNobodyElseReachesThem(t *testing.T) {
	_, a, _, echo := pair(t)
	if err := say(dial(t, a, echo), 10*time.Second); err != nil {
		t.Error(err)
	}
	if conn, err := net.DialTimeout("tcp4", echo, 50*time.Millisecond); err == nil {
		conn.Close()
		t.Error("the machine itself reached a host")
	}
}

func TestARuleHoldsInItsDirectionUntilItIsHealed(t *testing.T) {
	w, a, b, echo := pair(t)
	conn := dial(t, a, echo)
	for _, cut := range []struct {
		name     string
		from, to *wire.Host
	}{{"there", a, b}, {"back", b, a}} {
		undo := w.Set(cut.from, cut.to, wire.Rule{Cut: true})
		w.Set(cut.from, cut.to, wire.Rule{Delay: time.Millisecond})()
		if err := say(conn, 300*time.Millisecond); err == nil {
			t.Errorf("%s: it came through", cut.name)
		}
		undo()
		// What was on its way comes late, and in order.
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
			t.Errorf("%s, healed: %v", cut.name, err)
		}
	}
}

func TestDelayLossAndRateAreFelt(t *testing.T) {
	w, a, b, echo := pair(t)
	conn := dial(t, a, echo)
	undo := w.Set(a, b, wire.Rule{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond})
	begun := time.Now()
	if err := say(conn, 10*time.Second); err != nil || time.Since(begun) < 50*time.Millisecond {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
	undo()
	undo = w.Set(a, b, wire.Rule{Loss: 0.3})
	for range 20 {
		if err := say(conn, 30*time.Second); err != nil {
			t.Fatalf("TCP does not get over loss: %v", err)
		}
	}
	undo()
	const rate, bytes = 100_000, 60_000
	w.Set(a, b, wire.Rule{Rate: rate})
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	begun = time.Now()
	go conn.Write(make([]byte, bytes))
	if _, err := io.ReadFull(conn, make([]byte, bytes)); err != nil || time.Since(begun) < bytes*time.Second/rate/2 {
		t.Errorf("%d bytes at %d a second took %s: %v", bytes, rate, time.Since(begun), err)
	}
}
