package fetch

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/concord-id/concord/federation"
)

// poller follows one relationship for as long as that stays as it is.
type poller struct {
	pool         *Pool
	relationship federation.Relationship
	cancel       context.CancelFunc
	gone         chan struct{} // closed when run has returned

	asked  chan struct{} // someone waits for a poll; one is enough
	roused chan struct{} // the endpoint's anchor changed; one is enough

	// line is used by the poll that runs, and by run between two polls.
	line line

	mu       sync.Mutex
	progress federation.Progress
	turn     chan struct{} // closed after the next poll; nil if nobody waits for it
}

func newPoller(p *Pool, r federation.Relationship, cancel context.CancelFunc) *poller {
	return &poller{
		pool:         p,
		relationship: r,
		cancel:       cancel,
		gone:         make(chan struct{}),
		asked:        make(chan struct{}, 1),
		roused:       make(chan struct{}, 1),
		progress:     federation.Progress{Since: time.Now()},
	}
}

// run polls after first and then on schedule, until ctx ends.
func (q *poller) run(ctx context.Context, first time.Duration) {
	defer close(q.gone)
	defer q.line.drop()
	timer := time.NewTimer(first)
	defer timer.Stop()
	q.schedule(first)
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.roused:
			if sooner, ok := q.reconsider(); ok {
				timer.Reset(sooner)
			}
			continue
		case <-q.asked:
		case <-timer.C:
		}
		q.once(ctx)
		next := q.interval()
		timer.Reset(next)
		q.schedule(next)
	}
}

// once runs one poll and tells those who wait for it. The poll has its own
// goroutine: it needs a deep stack, which this one would keep until the next.
func (q *poller) once(ctx context.Context) {
	turn := q.takeTurn()
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.poll(ctx)
	}()
	<-done
	if turn != nil && ctx.Err() == nil {
		close(turn)
	}
}

// takeTurn returns the channel of those who wait for the poll that begins now.
func (q *poller) takeTurn() chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.asked: // this poll is the one
	default:
	}
	turn := q.turn
	q.turn = nil
	return turn
}

// request returns a channel that is closed after a poll that begins later than
// this call.
func (q *poller) request() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.turn == nil {
		q.turn = make(chan struct{})
	}
	wake(q.asked)
	return q.turn
}

func (q *poller) rouse() { wake(q.roused) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake already
	}
}

// reconsider drops what the anchor no longer authenticates. If the last poll
// failed, the new anchor may be what was missing: the next is then due as soon
// as the shortest interval allows.
func (q *poller) reconsider() (time.Duration, bool) {
	if a, err := anchorOf(q.relationship, q.pool.ledger.View()); err != nil || !q.line.anchor.same(a) {
		q.line.drop()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.progress.LastError == "" {
		return 0, false
	}
	sooner := max(0, time.Until(q.progress.LastAttempt.Add(federation.MinPollInterval)))
	if time.Now().Add(sooner).After(q.progress.NextPoll) {
		return 0, false
	}
	q.progress.NextPoll = time.Now().Add(sooner)
	return sooner, true
}

// interval is the time to the next poll: the hint of what we hold, clamped, and
// up to a tenth less so that pollers do not march in step. A failed poll waits
// as long as any (SPIFFE Federation §6.2).
func (q *poller) interval() time.Duration {
	whole := bundleOf(q.held()).PollInterval()
	least := max(federation.MinPollInterval, whole-whole/10)
	return least + time.Duration(rand.Int64N(int64(whole-least)+1))
}

func (q *poller) held() *federation.Published {
	return q.pool.ledger.View().Bundle(q.relationship.TrustDomain)
}

func (q *poller) schedule(next time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.progress.NextPoll = time.Now().Add(next)
}

func (q *poller) status() federation.Status {
	held := q.held()
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.progress.Status(bundleOf(held), time.Now())
}
