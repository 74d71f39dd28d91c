package replica

import (
	"sync"

	"github.com/hashicorp/raft"
)

// A leader's replication to a member waits for ever in raft 1.7.3 if that member
// answers nothing for a while and then drops the connection: who reads the answers
// has ended after the first that failed, so the second is never taken, so the third
// call waits for its turn, so nobody notices that the reader has ended. The member
// gets heartbeats and no entries until another node leads.

// AppendEntriesPipeline implements raft.Transport: every answer is taken at once.
func (b *ballots) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := b.Transport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return drain(inner), nil
}

// drained is a pipeline whose answers wait for their reader, however late it comes,
// and keep nobody from asking more.
type drained struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	closed  chan struct{}
	once    sync.Once
}

func drain(inner raft.AppendPipeline) *drained {
	d := &drained{AppendPipeline: inner, answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
	go d.run() // ends with Close, which raft calls when it is done with the pipeline
	return d
}

// run hands answers on, in their order. There are never more than calls are under
// way, because a pipeline that fails takes no more calls.
func (d *drained) run() {
	var waiting []raft.AppendFuture
	for {
		var next raft.AppendFuture
		out := d.answers
		if len(waiting) == 0 {
			out = nil
		} else {
			next = waiting[0]
		}
		select {
		case answer := <-d.AppendPipeline.Consumer():
			waiting = append(waiting, answer)
		case out <- next:
			waiting = waiting[1:]
		case <-d.closed:
			return
		}
	}
}

// Consumer implements raft.AppendPipeline.
func (d *drained) Consumer() <-chan raft.AppendFuture { return d.answers }

// Close implements raft.AppendPipeline.
func (d *drained) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.AppendPipeline.Close()
}
