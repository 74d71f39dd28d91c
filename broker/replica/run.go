package replica

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// Election and heartbeat time-outs (DESIGN §5).
const (
	oneVoter   = 250 * time.Millisecond
	manyVoters = 500 * time.Millisecond
)

// lookInterval is how often the replica looks after itself.
const lookInterval = time.Second

var errStopped = errors.New("the replica has stopped")

// start runs what lives as long as the replica.
func (r *Replica) start() {
	r.retime(raft.Configuration{Servers: r.members()})
	r.work.Go(r.run)
	r.work.Go(r.keepAsking)
	if r.stream != nil {
		server := r.exchange()
		r.calls.Go(func() { _ = server.Serve(r.stream.calls) }) // ends with its listener
		context.AfterFunc(r.stream.ctx, func() { _ = server.Close() })
		r.calls.Go(func() { r.announce(r.stream.ctx) })
	}
}

// members returns the newest membership that this node knows, committed or
// not: raft decides on votes by it, and a member that is being added must be
// heard. Nobody is a member before raft runs.
func (r *Replica) members() []raft.Server {
	running := r.raft.Load()
	if running == nil {
		return nil
	}
	return running.GetConfiguration().Configuration().Servers
}

// retime sets the time-outs for as many voters as there are. Shortening them
// makes a follower look at once whether it has a leader: so one who votes
// alone is elected at once when it starts, and does not wait for a leader that
// cannot be (docs/decisions/0008-election-alone.md).
func (r *Replica) retime(members raft.Configuration) {
	running := r.raft.Load()
	if running == nil {
		return // start does it
	}
	voters := 0
	for _, member := range members.Servers {
		if member.Suffrage == raft.Voter {
			voters++
		}
	}
	timeout := manyVoters
	if voters == 1 {
		timeout = oneVoter
	}
	conf := running.ReloadableConfig()
	conf.HeartbeatTimeout, conf.ElectionTimeout = timeout, timeout
	if err := running.ReloadConfig(conf); err != nil {
		r.log.Warn("raft keeps its time-outs", "wanted", timeout, "error", err)
	}
}

// run follows raft's leadership, and looks each second after the freshness of
// the state and the length of the log.
func (r *Replica) run() {
	defer r.leading.set(false)
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		select {
		case leads := <-r.notify:
			r.turn(leads)
		case <-ticker.C:
			r.look()
		case <-r.closing:
			return
		case <-r.stop.tripped:
			r.log.Error("the replica stops", "error", r.stop.cause())
			r.stopRaft() // waited for by Close
			return
		}
	}
}

// turn takes raft's word that leadership was won or lost.
func (r *Replica) turn(leads bool) {
	if !leads {
		r.leading.set(false)
		r.log.Info("this node leads no more")
		return
	}
	r.begin()
}

// begin waits until everything that was committed before is applied here; only
// then does this node lead.
func (r *Replica) begin() {
	running := r.raft.Load()
	at, term := time.Now(), running.CurrentTerm()
	if err := r.await(func() raft.Future { return running.Barrier(0) }); err != nil {
		r.log.Info("leadership was won and could not be begun", "error", err)
		return // it was lost again, or look tries once more
	}
	r.ledTerm.Store(term)
	r.fresh.vouched(running.CommitIndex(), at)
	r.leading.set(true)
	r.tidy()
	r.log.Info("this node leads", "term", running.CurrentTerm(), "index", running.CommitIndex())
}

func (r *Replica) look() {
	running := r.raft.Load()
	if r.stream != nil {
		for _, gone := range r.stream.guests.review() {
			r.log.Info("the connection of a node that is no member any more was closed", "peer", gone.ID)
		}
		if n := r.stream.entering.count(); n > 0 {
			r.log.Warn("callers of the raft port that did not show who they are had to make room for others; let only nodes reach that port", "callers", n)
		}
	}
	r.tidy()
	if running.State() == raft.Leader && !r.Leading() {
		r.begin()
	}
}

// await asks raft and returns its answer, or errStopped if raft was stopped by
// an error: it takes no question then, and leaves futures unanswered, and the
// process ends.
func (r *Replica) await(ask func() raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- ask().Error() }()
	select {
	case err := <-done:
		return err
	case <-r.stop.tripped:
		return errStopped
	}
}
