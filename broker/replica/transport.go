package replica

import (
	"time"

	"github.com/hashicorp/raft"
)

// Transport carries raft's calls between members.
type Transport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// heardTransport is a transport that tells freshness what leaders say. raft's
// own time of last contact is no measure: a heartbeat names no index, and
// granting a vote counts as contact.
type heardTransport struct {
	Transport
	calls chan raft.RPC
	voter func(id []byte) []byte // see candidate.go
}

func newHeardTransport(inner Transport, voter func([]byte) []byte) *heardTransport {
	return &heardTransport{Transport: inner, calls: make(chan raft.RPC), voter: voter}
}

// Consumer implements raft.Transport.
func (t *heardTransport) Consumer() <-chan raft.RPC { return t.calls }

// relay passes calls on to raft until done is closed. One call is with raft at
// a time, as raft itself would have it.
func (t *heardTransport) relay(heard func(commit uint64, at time.Time), done <-chan struct{}) {
	for {
		select {
		case call := <-t.Transport.Consumer():
			call.Command = t.named(call.Command)
			t.pass(call, heard, done)
		case <-done:
			return
		}
	}
}

func (t *heardTransport) pass(call raft.RPC, heard func(uint64, time.Time), done <-chan struct{}) {
	entries, ok := call.Command.(*raft.AppendEntriesRequest)
	if !ok || entries.LeaderCommitIndex == 0 {
		select {
		case t.calls <- call:
		case <-done:
		}
		return
	}
	at := time.Now()
	answered := make(chan raft.RPCResponse, 1) // raft answers once and must not wait for us
	forwarded := call
	forwarded.RespChan = answered
	select {
	case t.calls <- forwarded:
	case <-done:
		return
	}
	select {
	case response := <-answered:
		if r, ok := response.Response.(*raft.AppendEntriesResponse); ok && response.Error == nil && r.Success {
			heard(entries.LeaderCommitIndex, at)
		}
		call.RespChan <- response // has room for one
	case <-done:
	}
}
