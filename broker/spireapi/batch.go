package spireapi

import (
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
)

const (
	// maxBatch bounds the items of a batch.
	maxBatch = 1000
	// maxBatchBytes bounds a batch, so that an answer that repeats every item
	// stays under what a gRPC client accepts.
	maxBatchBytes = 3 << 20
	// maxPageBytes bounds a page of a listing for the same reason.
	maxPageBytes = 3 << 20
	// batchWidth is how many items of a batch are proposed at once: they share
	// writes to the disk.
	batchWidth = 64
)

// batch does each item and returns the answers in the items' order. Items are
// done side by side, unless two have a key in common: then one after another,
// so that the first of them comes first.
func batch[In, Out any](who broker.Caller, request proto.Message, items []In, keys func(In) []string, do func(broker.Caller, In) Out) ([]Out, error) {
	if len(items) > maxBatch {
		return nil, broker.Refuse(broker.InvalidArgument, "the request has %d items, the most is %d: send them in several requests", len(items), maxBatch)
	}
	if size := proto.Size(request); size > maxBatchBytes {
		return nil, broker.Refuse(broker.ResourceExhausted, "the request has %d bytes, the most is %d: send it in several requests", size, maxBatchBytes)
	}
	out := make([]Out, len(items))
	one := func(i int) {
		who := who
		if who.RequestID != "" && len(items) > 1 {
			who.RequestID = fmt.Sprintf("%s.%d", who.RequestID, i)
		}
		out[i] = do(who, items[i])
	}
	if len(items) == 1 || related(items, keys) {
		for i := range items {
			one(i)
		}
		return out, nil
	}
	var running sync.WaitGroup
	turns := make(chan struct{}, batchWidth)
	for i := range items {
		turns <- struct{}{}
		running.Go(func() {
			defer func() { <-turns }()
			one(i)
		})
	}
	running.Wait()
	return out, nil
}

// related reports whether two items have a key in common.
func related[In any](items []In, keys func(In) []string) bool {
	seen := map[string]bool{}
	for _, item := range items {
		for _, key := range keys(item) {
			if seen[key] {
				return true
			}
			seen[key] = true
		}
	}
	return false
}

// page translates a page and cuts it where the answer would outgrow a message.
// At least one item is in it, so that paging always moves.
func page[T any, M proto.Message](list registrar.Listing[T], translate func(T) M) (items []M, next string) {
	size := 0
	for i, item := range list.Items {
		m := translate(item)
		if size += proto.Size(m) + 8; size > maxPageBytes && i > 0 {
			return items, list.Cut(i).Next
		}
		items = append(items, m)
	}
	return items, list.Next
}
