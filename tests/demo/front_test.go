package main

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// named listens and says its name to whoever connects.
func named(t *testing.T, name string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, name)
			conn.Close()
		}
	}()
	return l
}

func openedFront(t *testing.T, nodes ...string) *front {
	t.Helper()
	f, err := openFront()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	f.lead(nodes)
	return f
}

// who answers at the front.
func who(t *testing.T, f *front) string {
	t.Helper()
	conn, err := net.Dial("tcp", f.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFrontTakesTurnsAndPassesOverNodesThatAreDown(t *testing.T) {
	a, b, c := named(t, "a"), named(t, "b"), named(t, "c")
	f := openedFront(t, a.Addr().String(), b.Addr().String(), c.Addr().String())
	seen := map[string]int{}
	for range 6 {
		seen[who(t, f)]++
	}
	if seen["a"] != 2 || seen["b"] != 2 || seen["c"] != 2 {
		t.Errorf("six connections went to %v, want two to each", seen)
	}
	b.Close()
	for range 6 {
		if got := who(t, f); got != "a" && got != "c" {
			t.Errorf("%q answered, and only a and c are up", got)
		}
	}
}

func TestFrontWithoutNodesHangsUp(t *testing.T) {
	if got := who(t, openedFront(t)); got != "" {
		t.Errorf("%q answered", got)
	}
}

func TestFrontEndsItsConnections(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	f, err := openFront()
	if err != nil {
		t.Fatal(err)
	}
	f.lead([]string{silent.Addr().String()})
	conn, err := net.Dial("tcp", f.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	carried, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer carried.Close()
	f.close() // waits for what it carries
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the connection goes on: %d bytes, %v", n, err)
	}
}
