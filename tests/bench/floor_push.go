package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
)

// streams is how many workloads wait for a change.
const streams = 4000

// rawBytes is a message that is its own encoding.
type rawBytes []byte

// rawCodec takes messages for what they are: bytes.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	raw, ok := v.(*rawBytes)
	if !ok {
		return nil, errors.New("not raw bytes")
	}
	return mem.BufferSlice{mem.SliceBuffer(*raw)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	raw, ok := v.(*rawBytes)
	if !ok {
		return errors.New("not raw bytes")
	}
	*raw = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = rawCodec{}

// crowd is 4,000 clients of one streaming method, each with a connection of its own.
type crowd struct {
	cancel   context.CancelFunc
	conns    []*grpc.ClientConn
	reading  sync.WaitGroup
	received atomic.Int64 // messages of the round
	all      chan struct{}
	failed   atomic.Pointer[error]
	size     atomic.Int64 // of the last message
}

// join opens the streams and waits until each has its first message.
func join(ctx context.Context, socket, method string) (*crowd, error) {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "workload.spiffe.io", "true"))
	c := &crowd{cancel: cancel, all: make(chan struct{}, 1)}
	c.received.Store(0)
	gate := make(chan struct{}, 64) // so many dials at a time
	opened := make(chan error, streams)
	for range streams {
		conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
		if err != nil {
			return nil, errors.Join(err, c.leave())
		}
		c.conns = append(c.conns, conn)
		gate <- struct{}{}
		c.reading.Go(func() {
			stream, err := openStream(ctx, conn, method)
			opened <- err
			<-gate
			if err == nil {
				c.read(stream)
			}
		})
	}
	for range streams {
		if err := <-opened; err != nil {
			return nil, errors.Join(err, c.leave())
		}
	}
	return c, nil
}

// openStream asks and waits for the first message.
func openStream(ctx context.Context, conn *grpc.ClientConn, method string) (grpc.ClientStream, error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(new(rawBytes)); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	return stream, stream.RecvMsg(new(rawBytes))
}

func (c *crowd) read(stream grpc.ClientStream) {
	for {
		var message rawBytes
		if err := stream.RecvMsg(&message); err != nil {
			c.failed.Store(&err)
			return
		}
		c.size.Store(int64(len(message)))
		if c.received.Add(1) == streams {
			c.all <- struct{}{}
		}
	}
}

// round makes a change and returns how long the last stream waited for it.
func (c *crowd) round(ctx context.Context, change func() error) (time.Duration, error) {
	c.received.Store(0)
	begun := time.Now()
	if err := change(); err != nil {
		return 0, err
	}
	select {
	case <-c.all:
		return time.Since(begun), nil
	case <-time.After(30 * time.Second):
		if err := c.failed.Load(); err != nil {
			return 0, *err
		}
		return 0, errors.New("not every stream heard of the change within 30 s")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (c *crowd) leave() error {
	c.cancel()
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	c.reading.Wait()
	return errors.Join(errs...)
}

// bareStreams is a server that sends the same bytes to everybody.
type bareStreams struct {
	mu      sync.Mutex
	message *rawBytes
	changed chan struct{}
}

func (b *bareStreams) current() (*rawBytes, chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.message, b.changed
}

// change wakes every stream with the same bytes.
func (b *bareStreams) change() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
	return nil
}

func (b *bareStreams) serve(_ any, stream grpc.ServerStream) error {
	for {
		message, changed := b.current()
		if err := stream.SendMsg(message); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

const bareStream = "/floor.Bare/Stream"

// floorPush serves messages of so many bytes to a crowd.
func floorPush(ctx context.Context, bytes int) (*crowd, func() error, func() error, error) {
	dir, err := os.MkdirTemp("", "b")
	if err != nil {
		return nil, nil, nil, err
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, nil, nil, err
	}
	message := rawBytes(make([]byte, bytes))
	bare := &bareStreams{message: &message, changed: make(chan struct{})}
	server := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "floor.Bare", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, Handler: bare.serve}},
	}, nil)
	go server.Serve(listener)
	c, err := join(ctx, listener.Addr().String(), bareStream)
	if err != nil {
		server.Stop()
		return nil, nil, nil, err
	}
	stop := func() error {
		err := c.leave()
		server.Stop()
		return errors.Join(err, os.RemoveAll(dir))
	}
	return c, bare.change, stop, nil
}
