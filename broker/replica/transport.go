package replica

import "github.com/hashicorp/raft"

// Transport carries raft's calls between members.
type Transport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// ballots is a transport that has candidates ask in a name that raft accepts
// (candidate.go), and whose pipelines wait for nobody (pipeline.go).
type ballots struct {
	Transport
	calls chan raft.RPC
	voter func(id []byte) []byte
}

func newBallots(inner Transport, voter func([]byte) []byte) *ballots {
	return &ballots{Transport: inner, calls: make(chan raft.RPC), voter: voter}
}

// Consumer implements raft.Transport.
func (b *ballots) Consumer() <-chan raft.RPC { return b.calls }

// relay passes calls on to raft until done is closed.
func (b *ballots) relay(done <-chan struct{}) {
	for {
		select {
		case call := <-b.Transport.Consumer():
			call.Command = b.named(call.Command)
			select {
			case b.calls <- call:
			case <-done:
				return
			}
		case <-done:
			return
		}
	}
}
