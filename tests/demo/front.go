package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// front is the one address that partners have for a bundle endpoint of several
// nodes: it carries TCP to the first node that accepts, each time beginning with
// another one. Whom they speak to, partners see in the TLS that it carries.
type front struct {
	listener net.Listener
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu    sync.Mutex
	nodes []string // where each node's endpoint is, whether it is up or not
	turn  int
}

// dialTime bounds the attempt at one node.
const dialTime = time.Second

func openFront() (*front, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open the front of the bundle endpoints: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &front{listener: listener, cancel: cancel}
	f.running.Go(func() { f.serve(ctx) })
	return f, nil
}

func (f *front) address() string { return f.listener.Addr().String() }

// close ends every connection.
func (f *front) close() {
	f.cancel()
	f.listener.Close()
	f.running.Wait()
}

// lead says where the nodes' endpoints are now.
func (f *front) lead(nodes []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes = nodes
}

// order is the nodes in the order in which the next connection tries them.
func (f *front) order() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.nodes) == 0 {
		return nil
	}
	f.turn = (f.turn + 1) % len(f.nodes)
	return append(append([]string{}, f.nodes[f.turn:]...), f.nodes[:f.turn]...)
}

func (f *front) serve(ctx context.Context) {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return // closed
		}
		f.running.Go(func() { f.carry(ctx, conn) })
	}
}

// carry copies both ways until one side ends.
func (f *front) carry(ctx context.Context, from net.Conn) {
	defer from.Close()
	to := f.dial(ctx)
	if to == nil {
		return
	}
	defer to.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		from.Close()
		to.Close()
	})()
	var back sync.WaitGroup
	back.Go(func() {
		defer cancel()
		io.Copy(from, to)
	})
	io.Copy(to, from)
	cancel()
	back.Wait()
}

func (f *front) dial(ctx context.Context) net.Conn {
	for _, address := range f.order() {
		if conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "tcp", address); err == nil {
			return conn
		}
	}
	return nil
}
