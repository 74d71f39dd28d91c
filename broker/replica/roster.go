package replica

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker/state"
)

// Peer is the node at the other end of a call.
type Peer struct {
	ID raft.ServerID
	// Token is the ID of the join token that vouches for it; "" if it is a member.
	Token string
}

var errNotMember = errors.New("its key is no member's")

// recognise says who shows chain, or refuses. It is asked at each handshake.
func (r *Replica) recognise(protocol string, chain []*x509.Certificate) (Peer, error) {
	keys, err := links(chain)
	if err != nil {
		return Peer{}, err
	}
	id := keys[0]
	if id == r.me.id {
		return Peer{}, errors.New("it has this node's own key: a copy of this node is running, stop one of the two")
	}
	view := r.View()
	if known, ok := view.Member(string(id)); ok && incarnation(chain[0]) < known.Incarnation {
		return Peer{}, fmt.Errorf("it runs from an older copy of the data of %s (start %d, the newest known is %d)", known.Name, incarnation(chain[0]), known.Incarnation)
	}
	if gone, ok := view.Removed(string(id)); ok {
		return Peer{}, fmt.Errorf("it was %s, which was removed from the cluster at %s", gone.Name, gone.At.Format(time.RFC3339))
	}
	// Before the membership is looked at: whoever did not hear the answer to its
	// joining asks again, and may be a member meanwhile.
	if protocol == nodeProtocol && len(keys) > 1 && r.invited(string(keys[1]), id) {
		return Peer{ID: id, Token: string(keys[1])}, nil
	}
	members := r.acquainted()
	for _, key := range keys {
		if _, gone := view.Removed(string(key)); gone {
			break
		}
		_, admitted := view.Member(string(key)) // raft may not have heard of it yet
		if admitted || slices.Contains(members, key) {
			return Peer{ID: id}, nil
		}
	}
	return Peer{}, errNotMember
}

// reach says whom this node has reached. Who was removed, and is not called
// compromised, is still sent the log, until the leader has taken it out of the
// membership: so it hears of its removal. It is told, and let in no more.
func (r *Replica) reach(protocol string, chain []*x509.Certificate) (Peer, error) {
	keys, err := links(chain)
	if err != nil || protocol != raftProtocol {
		return r.recognise(protocol, chain)
	}
	gone, removed := r.View().Removed(string(keys[0]))
	if removed && !gone.Compromised && slices.ContainsFunc(r.members(), func(m raft.Server) bool { return m.ID == keys[0] }) {
		return Peer{ID: keys[0]}, nil
	}
	return r.recognise(protocol, chain)
}

// acquainted are the keys that this node believes: those of the newest
// membership, or before there is one those that it was told when it joined.
func (r *Replica) acquainted() []raft.ServerID {
	var ids []raft.ServerID
	for _, seed := range r.seeds() {
		ids = append(ids, seed.ID)
	}
	return ids
}

// seeds are the members and where they are, as acquainted says.
func (r *Replica) seeds() []Seed {
	members := r.members()
	if len(members) == 0 {
		return r.admission.Members
	}
	seeds := make([]Seed, len(members))
	for i, m := range members {
		seeds[i] = Seed{m.ID, m.Address}
	}
	return seeds
}

// invited reports whether a token is good for the node id, as far as this node
// knows; that it is used once, the log decides. For the node that used it, it stays
// good past its end until that node has started: the answer may have been lost.
func (r *Replica) invited(token string, id raft.ServerID) bool {
	view := r.View()
	t, ok := view.JoinToken(token)
	if !ok || t.UsedBy == "" {
		left := time.Until(t.ExpiresAt)
		return ok && left > 0 && left <= state.MaxJoinTokenTTL
	}
	member, admitted := view.Member(t.UsedBy)
	return t.UsedBy == string(id) && admitted && member.Incarnation == 0
}

// where returns where a member is reached; "" if it is none.
func (r *Replica) where(id raft.ServerID) raft.ServerAddress {
	for _, seed := range r.seeds() {
		if seed.ID == id {
			return r.whereabouts.of(id, seed.Address)
		}
	}
	return ""
}

// whose returns the member at an address; "" if there is none.
func (r *Replica) whose(address raft.ServerAddress) raft.ServerID {
	for _, member := range r.members() {
		if member.Address == address {
			return member.ID
		}
	}
	return ""
}
