package replica

import (
	"context"
	"crypto"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// The membership of raft follows what the state says; the leader carries it out.
// Each of these fails where this node does not lead.

// membershipTime bounds one change of the membership.
const membershipTime = 10 * time.Second

// AddMember makes a node a member that receives the log and has no vote.
func (r *Replica) AddMember(id raft.ServerID, address raft.ServerAddress) error {
	return r.alter("add", id, func(running *raft.Raft) raft.Future { return running.AddNonvoter(id, address, 0, membershipTime) })
}

// Promote gives a member its vote. It is also how a member gets another address.
func (r *Replica) Promote(id raft.ServerID, address raft.ServerAddress) error {
	return r.alter("give a vote to", id, func(running *raft.Raft) raft.Future { return running.AddVoter(id, address, 0, membershipTime) })
}

// DropMember takes a node out of the membership.
func (r *Replica) DropMember(id raft.ServerID) error {
	return r.alter("remove", id, func(running *raft.Raft) raft.Future { return running.RemoveServer(id, 0, membershipTime) })
}

func (r *Replica) alter(what string, id raft.ServerID, change func(*raft.Raft) raft.Future) error {
	if err := r.await(func() raft.Future { return change(r.raft.Load()) }); err != nil {
		return fmt.Errorf("%s member %s: %w", what, id, err)
	}
	return nil
}

// Transfer gives the leadership to another member that votes; "" lets raft
// choose. It returns once another leads, or with ctx's error.
func (r *Replica) Transfer(ctx context.Context, to raft.ServerID) error {
	running := r.raft.Load()
	hand := func() raft.Future { return running.LeadershipTransfer() }
	if to != "" {
		hand = func() raft.Future { return running.LeadershipTransferToServer(to, r.where(to)) }
	}
	if err := r.await(hand); err != nil {
		return fmt.Errorf("give the leadership to another member: %w", err)
	}
	for {
		if _, leader := running.LeaderWithID(); leader != "" && leader != r.me.id {
			return nil
		}
		if !r.rest(ctx) {
			return fmt.Errorf("give the leadership to another member: none leads yet")
		}
	}
}

// Admit makes the chain with which the node that has key shows that this node
// admitted it to cluster.
func (r *Replica) Admit(key crypto.PublicKey, cluster string) ([][]byte, error) {
	return r.me.admit(key, cluster)
}

// Seeds are the members, as this node knows them, and where they are.
func (r *Replica) Seeds() []Seed { return r.seeds() }

// Incarnation is how often this node was started, this time included.
func (r *Replica) Incarnation() uint64 { return r.me.incarnation }

// Leader is the member that leads, as far as this node knows; "" if none does.
func (r *Replica) Leader() raft.ServerID {
	_, id := r.raft.Load().LeaderWithID()
	return id
}
