package unix

import (
	"context"
	"sync"
)

// perUser is how many processes of one user are observed at a time.
const perUser = 4

// gate lets a few observations of each user through at a time, so that what a
// user's file systems hold up is held up for that user only.
type gate struct {
	mu    sync.Mutex
	lanes map[uint32]*lane
}

type lane struct {
	slots chan struct{} // holds perUser
	users int           // that hold a slot or wait for one; guarded by gate.mu
}

func newGate() *gate { return &gate{lanes: make(map[uint32]*lane)} }

// enter waits for a place. leave gives it back.
func (g *gate) enter(ctx context.Context, uid uint32) (leave func(), err error) {
	g.mu.Lock()
	l := g.lanes[uid]
	if l == nil {
		l = &lane{slots: make(chan struct{}, perUser)}
		g.lanes[uid] = l
	}
	l.users++
	g.mu.Unlock()
	select {
	case l.slots <- struct{}{}:
		return func() { <-l.slots; g.depart(uid, l) }, nil
	case <-ctx.Done():
		g.depart(uid, l)
		return nil, context.Cause(ctx)
	}
}

func (g *gate) depart(uid uint32, l *lane) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(g.lanes, uid)
	}
}
