package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/node"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/tests/memnet"
	"github.com/concord-id/concord/tests/world"
)

// actor is a node of a story: whole and real, on a network in memory, with a
// disk that can be slow and a clock that can be wrong.
type actor struct {
	name    string
	host    *memnet.Host
	config  node.Config
	version string
	around  node.Surroundings
	token   string
	killed  bool // the others do not hear it
	log     *world.Record
	read    int // how much of the log the story has looked at
	disk    disk
	skew    atomic.Int64 // of its clock, in nanoseconds

	mu      sync.Mutex
	running *node.Node         // nil: it is down, or not up yet
	end     context.CancelFunc // of the newest run; nil: there was none
	ended   error              // why that ended; nil if it was told to
	work    sync.WaitGroup
}

// newActor is a node that was not started yet.
func newActor(t testing.TB, network *memnet.Network, number int, name string, change ...func(*node.Config)) *actor {
	ip := fmt.Sprint("10.0.0.", number)
	a := &actor{name: name, host: network.Host(ip), config: world.Config(t, "acme.example"), log: &world.Record{}, version: "test"}
	a.config.NodeName = name
	a.config.ListenAPI, a.config.ListenRaft, a.config.ListenBundle, a.config.ListenOps = ip+":8081", ip+":8300", ip+":8443", ip+":8080"
	for _, c := range change {
		c(&a.config)
	}
	a.around = node.Surroundings{
		Network: a.host,
		Clock:   func() time.Time { return time.Now().Add(time.Duration(a.skew.Load())) },
		OpenLog: func(dir string) (replica.Store, error) {
			inner, err := replica.OpenLog(dir)
			return &slowLog{inner, &a.disk}, err
		},
	}
	return a
}

// up is the node; nil if it is down.
func (a *actor) up() *node.Node {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running
}

// why is why it ended by itself; nil if it did not.
func (a *actor) why() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// start begins to start it; what it returns yields what became of that.
func (a *actor) start() <-chan error {
	ctx, cancel := context.WithCancel(context.Background())
	a.mu.Lock()
	a.end, a.ended = cancel, nil
	a.mu.Unlock()
	started := make(chan error, 1)
	a.work.Go(func() {
		defer cancel()
		err := a.live(ctx, started)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.running, a.ended = nil, err
	})
	return started
}

// live is one run of the node, as its process has it.
func (a *actor) live(ctx context.Context, started chan<- error) error {
	running, err := node.Start(ctx, node.Options{Config: a.config, Version: a.version, Join: a.token, Out: io.Discard, Log: a.log, Around: a.around})
	if err == nil {
		a.mu.Lock()
		a.running = running
		a.mu.Unlock()
	}
	started <- err
	if err != nil {
		return err
	}
	err = running.Wait(ctx)
	a.mu.Lock()
	a.running = nil
	a.mu.Unlock()
	return errors.Join(err, running.Stop())
}

// stop ends it, however far it came, and waits.
func (a *actor) stop() {
	a.mu.Lock()
	if a.end != nil {
		a.end()
	}
	a.mu.Unlock()
	a.work.Wait()
}

// disk is how a node's disk is.
type disk struct {
	mu    sync.Mutex
	delay time.Duration // of every write
	held  chan struct{} // closed when writes go on; nil: they do
}

func (d *disk) slow(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = by
}

// hold has writes wait until the disk is released.
func (d *disk) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = make(chan struct{})
}

func (d *disk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held != nil {
		close(d.held)
		d.held = nil
	}
}

func (d *disk) wait() {
	d.mu.Lock()
	delay, held := d.delay, d.held
	d.mu.Unlock()
	time.Sleep(delay)
	if held != nil {
		<-held
	}
}

// slowLog is a log on such a disk.
type slowLog struct {
	replica.Store
	disk *disk
}

func (s *slowLog) StoreLog(l *raft.Log) error {
	s.disk.wait()
	return s.Store.StoreLog(l)
}

func (s *slowLog) StoreLogs(l []*raft.Log) error {
	s.disk.wait()
	return s.Store.StoreLogs(l)
}

func (s *slowLog) Set(key, value []byte) error {
	s.disk.wait()
	return s.Store.Set(key, value)
}

func (s *slowLog) SetUint64(key []byte, value uint64) error {
	s.disk.wait()
	return s.Store.SetUint64(key, value)
}
