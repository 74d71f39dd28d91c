package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/concord-id/concord/broker/admin/client"
)

const (
	batchItems    = 500
	singleClients = 64
	writesLeast   = 1000 // entries a second
	writeRounds   = 5
	aWriteRound   = 2 * time.Second
)

// writer creates entries at a node until ctx ends, and counts what was acknowledged.
type writer func(ctx context.Context, at *member, from *atomic.Int64, done *atomic.Int64) error

// writes measures a writer at the leader or at a follower, and the disk alone, in
// turns. least is the aim; 0: there is none.
func writes(write writer, atLeader bool, least float64) func(context.Context) (result, error) {
	return func(ctx context.Context) (seen result, err error) {
		c, err := startCluster(ctx)
		if err != nil {
			return result{}, err
		}
		defer func() { err = errors.Join(err, c.stop()) }()
		at, err := c.whole(ctx)
		if err != nil {
			return result{}, err
		}
		if !atLeader {
			at = c.but(at)[0]
		}
		var floors, ours []float64
		var next atomic.Int64
		for range writeRounds {
			floor, err := floorAppend(ctx, time.Second)
			if err != nil {
				return result{}, err
			}
			mine, err := writeRound(ctx, write, at, &next)
			if err != nil {
				return result{}, err
			}
			floors, ours = append(floors, floor), append(ours, mine)
		}
		a, b := median(floors), median(ours)
		return result{
			floor: fmt.Sprintf("%.0f%s", a, unitRate), ours: fmt.Sprintf("%.0f%s", b, unitRate),
			ratio: fmt.Sprintf("%.1f %%", 100*b/a), met: b >= least,
		}, nil
	}
}

// writeRound is how many entries a second were acknowledged.
func writeRound(ctx context.Context, write writer, at *member, next *atomic.Int64) (float64, error) {
	round, cancel := context.WithTimeout(ctx, aWriteRound)
	defer cancel()
	var done atomic.Int64
	begun := time.Now()
	if err := write(round, at, next, &done); err != nil {
		return 0, err
	}
	return float64(done.Load()) / time.Since(begun).Seconds(), ctx.Err()
}

// batched creates entries with BatchCreateEntry of the SPIRE API, one call after
// another. A call that was begun is waited for.
func batched(ctx context.Context, at *member, next, done *atomic.Int64) error {
	conn, err := grpc.NewClient("unix://"+filepath.Join(at.dir, "admin.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	for ctx.Err() == nil {
		if err := oneBatch(context.WithoutCancel(ctx), conn, int(next.Add(batchItems))-batchItems, batchItems); err != nil {
			return err
		}
		done.Add(batchItems)
	}
	return nil
}

// oneBatch creates the entries first to first + n.
func oneBatch(ctx context.Context, conn *grpc.ClientConn, first, n int) error {
	request := &entryv1.BatchCreateEntryRequest{OutputMask: &types.EntryMask{}}
	for i := range n {
		request.Entries = append(request.Entries, protoEntry(first+i))
	}
	answer, err := entryv1.NewEntryClient(conn).BatchCreateEntry(ctx, request)
	if err != nil {
		return err
	}
	for i, r := range answer.Results {
		if r.Status.Code != int32(codes.OK) {
			return fmt.Errorf("entry %d: %s", first+i, r.Status.Message)
		}
	}
	return nil
}

// protoEntry is one of many, with the parent that all nodes' agents have.
func protoEntry(i int) *types.Entry {
	e := oneOfMany(i)
	parent := hostAgent(i / entriesPerAgent).ID
	out := &types.Entry{
		SpiffeId: &types.SPIFFEID{TrustDomain: benchDomain.Name(), Path: e.SPIFFEID.Path()},
		ParentId: &types.SPIFFEID{TrustDomain: benchDomain.Name(), Path: parent.Path()},
	}
	for _, s := range e.Selectors {
		out.Selectors = append(out.Selectors, &types.Selector{Type: s.Type, Value: s.Value})
	}
	return out
}

// oneByOne creates entries with the REST API, each in a request of its own, from
// many clients at once.
func oneByOne(ctx context.Context, at *member, next, done *atomic.Int64) error {
	errs := make([]error, singleClients)
	var running sync.WaitGroup
	for n := range singleClients {
		running.Go(func() {
			api := client.New(filepath.Join(at.dir, "admin.sock"), "bench")
			for ctx.Err() == nil && errs[n] == nil {
				errs[n] = oneEntry(context.WithoutCancel(ctx), api, int(next.Add(1)))
				done.Add(1)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

func oneEntry(ctx context.Context, api *client.Client, i int) error {
	e := oneOfMany(i)
	in := client.Entry{SPIFFEID: e.SPIFFEID.String(), ParentID: e.ParentID.String()}
	for _, s := range e.Selectors {
		in.Selectors = append(in.Selectors, s.String())
	}
	return api.Do(ctx, http.MethodPost, client.Path("entries"), nil, in, nil)
}
