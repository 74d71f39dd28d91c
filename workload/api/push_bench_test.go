package api_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/concord-id/concord/tests/memdomain"
)

// benchStreams is how many workloads wait for a change, each on a connection
// of its own.
const benchStreams = 1000

// raw is a codec whose messages are their own bytes.
type raw struct{}

func (raw) Name() string { return "proto" }
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = raw{}

// BenchmarkPush measures from a change to its arrival at the last of the
// streams; p99 is over the rounds.
func BenchmarkPush(b *testing.B) {
	size := 0
	b.Run("concord", func(b *testing.B) {
		s := newSocket(b)
		bank := memdomain.New(b, "bank.example")
		s.me("/billing", bankDomain)
		s.SetBundle(bank.Bundle())
		on := false
		size = pushRounds(b, s.addr, pb.SpiffeWorkloadAPI_FetchX509SVID_FullMethodName, func() {
			if on = !on; on {
				s.DropBundle(bankDomain)
			} else {
				s.SetBundle(bank.Bundle())
			}
		})
	})
	b.Run("floor", func(b *testing.B) {
		f := newFloor(b, max(size, 2500))
		pushRounds(b, f.addr, "/floor/Stream", f.change)
	})
}

// pushRounds opens the streams and changes b.N times. It returns the size of
// the last message.
func pushRounds(b *testing.B, addr, method string, change func()) int {
	ctx, cancel := context.WithCancel(withHeader(context.Background()))
	var received, size atomic.Int64
	all := make(chan struct{}, 1)
	var reading sync.WaitGroup
	for range benchStreams {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
		if err != nil {
			b.Fatal(err)
		}
		if err := stream.SendMsg(new([]byte)); err != nil {
			b.Fatal(err)
		}
		stream.CloseSend()
		if err := stream.RecvMsg(new([]byte)); err != nil {
			b.Fatal(err)
		}
		reading.Go(func() {
			for {
				var m []byte
				if stream.RecvMsg(&m) != nil {
					return
				}
				size.Store(int64(len(m)))
				if received.Add(1) == benchStreams {
					received.Store(0)
					all <- struct{}{}
				}
			}
		})
	}
	var took []time.Duration
	for b.Loop() {
		begun := time.Now()
		change()
		<-all
		took = append(took, time.Since(begun))
	}
	cancel()
	reading.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(size.Load()), "bytes")
	return int(size.Load())
}

// floor is a bare gRPC server that sends the same bytes to everybody.
type floor struct {
	addr    string
	mu      sync.Mutex
	changed chan struct{}
}

func newFloor(b *testing.B, size int) *floor {
	dir, err := os.MkdirTemp("", "f")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		b.Fatal(err)
	}
	f := &floor{addr: "unix://" + listener.Addr().String(), changed: make(chan struct{})}
	message := make([]byte, size)
	server := grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		for {
			f.mu.Lock()
			changed := f.changed
			f.mu.Unlock()
			if err := stream.SendMsg(&message); err != nil {
				return err
			}
			select {
			case <-changed:
			case <-stream.Context().Done():
				return nil
			}
		}
	}))
	go server.Serve(listener)
	b.Cleanup(server.Stop)
	return f
}

func (f *floor) change() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.changed)
	f.changed = make(chan struct{})
}
