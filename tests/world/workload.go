package world

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// WorkloadAddr is the address of the Workload API, as a workload's environment
// would hold it.
func (n *Node) WorkloadAddr() string { return "unix://" + n.Path("workload.sock") }

// Client returns go-spiffe's client of the node's Workload API.
func (n *Node) Client() *workloadapi.Client {
	n.t.Helper()
	c, err := workloadapi.New(Soon(n.t), workloadapi.WithAddr(n.WorkloadAddr()))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	return c
}

// X509Source returns a workload's source of X.509-SVIDs and bundles, once it
// has an SVID.
func (n *Node) X509Source() *workloadapi.X509Source {
	n.t.Helper()
	s, err := workloadapi.NewX509Source(Soon(n.t), workloadapi.WithClientOptions(workloadapi.WithAddr(n.WorkloadAddr())))
	if err != nil {
		n.t.Fatalf("an X.509 source of %s: %v", n.TrustDomain.Name(), err)
	}
	n.t.Cleanup(func() { s.Close() })
	return s
}

// JWTSource returns a workload's source of JWT-SVIDs and bundles, once it has
// bundles.
func (n *Node) JWTSource() *workloadapi.JWTSource {
	n.t.Helper()
	s, err := workloadapi.NewJWTSource(Soon(n.t), workloadapi.WithClientOptions(workloadapi.WithAddr(n.WorkloadAddr())))
	if err != nil {
		n.t.Fatalf("a JWT source of %s: %v", n.TrustDomain.Name(), err)
	}
	n.t.Cleanup(func() { s.Close() })
	return s
}

// Until returns once ok, which is asked now and after every update of a
// source. It fails the test if that never comes.
func Until(t testing.TB, updated <-chan struct{}, ok func() bool) {
	t.Helper()
	ctx := Soon(t)
	for !ok() {
		select {
		case <-updated:
		case <-ctx.Done():
			t.Fatal(context.Cause(ctx))
		}
	}
}

// Eventually returns once ok, which is asked again and again: for what sends no
// word when it happens. It fails the test if that never comes.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx := Soon(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, context.Cause(ctx))
		}
	}
}

// Watch is a stream of the Workload API: what came by it, in order.
type Watch[T any] struct {
	t       testing.TB
	updates chan T
	errs    chan error
}

// watching is how much a Watch keeps of what the test has not looked at.
const watching = 10_000

// watch runs a watcher of go-spiffe until the test ends.
func watch[T any](n *Node, run func(context.Context, *workloadapi.Client, *Watch[T])) *Watch[T] {
	n.t.Helper()
	w := &Watch[T]{n.t, make(chan T, watching), make(chan error, watching)}
	client := n.Client()
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.t.Context()))
	var running sync.WaitGroup
	running.Go(func() { run(ctx, client, w) })
	n.t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// Until returns the first update from now on for which ok; it fails the test
// if none comes.
func (w *Watch[T]) Until(what string, ok func(T) bool) T {
	w.t.Helper()
	ctx := Soon(w.t)
	for {
		select {
		case v := <-w.updates:
			if ok(v) {
				return v
			}
		case <-ctx.Done():
			w.t.Fatalf("never came: %s", what)
		}
	}
}

// Next returns the next update.
func (w *Watch[T]) Next() T {
	w.t.Helper()
	return w.Until("an update", func(T) bool { return true })
}

// Error returns the next error, which ends one stream; go-spiffe then opens
// another one.
func (w *Watch[T]) Error() error {
	w.t.Helper()
	ctx := Soon(w.t)
	select {
	case err := <-w.errs:
		return err
	case <-ctx.Done():
		w.t.Fatal("the stream never ended")
		return nil
	}
}

// Pending returns how many updates the test has not looked at.
func (w *Watch[T]) Pending() int { return len(w.updates) }

type x509Contexts struct {
	*Watch[*workloadapi.X509Context]
}

func (w x509Contexts) OnX509ContextUpdate(c *workloadapi.X509Context) { w.updates <- c }
func (w x509Contexts) OnX509ContextWatchError(err error)              { w.errs <- err }

// WatchX509 watches SVIDs and bundles.
func (n *Node) WatchX509() *Watch[*workloadapi.X509Context] {
	n.t.Helper()
	return watch(n, func(ctx context.Context, c *workloadapi.Client, w *Watch[*workloadapi.X509Context]) {
		c.WatchX509Context(ctx, x509Contexts{w})
	})
}

type x509Bundles struct{ *Watch[*x509bundle.Set] }

func (w x509Bundles) OnX509BundlesUpdate(s *x509bundle.Set) { w.updates <- s }
func (w x509Bundles) OnX509BundlesWatchError(err error)     { w.errs <- err }

// WatchX509Bundles watches X.509 bundles alone.
func (n *Node) WatchX509Bundles() *Watch[*x509bundle.Set] {
	n.t.Helper()
	return watch(n, func(ctx context.Context, c *workloadapi.Client, w *Watch[*x509bundle.Set]) {
		c.WatchX509Bundles(ctx, x509Bundles{w})
	})
}

type jwtBundles struct{ *Watch[*jwtbundle.Set] }

func (w jwtBundles) OnJWTBundlesUpdate(s *jwtbundle.Set) { w.updates <- s }
func (w jwtBundles) OnJWTBundlesWatchError(err error)    { w.errs <- err }

// WatchJWTBundles watches JWT bundles.
func (n *Node) WatchJWTBundles() *Watch[*jwtbundle.Set] {
	n.t.Helper()
	return watch(n, func(ctx context.Context, c *workloadapi.Client, w *Watch[*jwtbundle.Set]) {
		c.WatchJWTBundles(ctx, jwtBundles{w})
	})
}
