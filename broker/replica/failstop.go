package replica

import (
	"runtime"
	"sync"
)

// failstop ends the use of raft at the first error that must end the process.
// raft itself answers an error of its store by stepping down, electing itself
// again and going on with a log of which nobody knows what it holds; or by a
// panic. Here the goroutine that met the error ends where it stands.
type failstop struct {
	once    sync.Once
	err     error         // set before tripped is closed
	tripped chan struct{} // closed at the first error
	report  chan error    // holds the first error for whoever runs the process
}

func newFailstop() *failstop {
	return &failstop{tripped: make(chan struct{}), report: make(chan error, 1)}
}

// trip notes err; the first one wins.
func (f *failstop) trip(err error) {
	f.once.Do(func() {
		f.err = err
		f.report <- err
		close(f.tripped)
	})
}

// end notes err and ends the calling goroutine, which is one of raft's. Its
// deferred calls run, so everybody who waits for it is answered.
func (f *failstop) end(err error) {
	f.trip(err)
	runtime.Goexit()
}

// cause returns the error that tripped it, nil if none did.
func (f *failstop) cause() error {
	select {
	case <-f.tripped:
		return f.err
	default:
		return nil
	}
}
