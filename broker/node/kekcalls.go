package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca/keys"
)

// The calls by which members give each other a key-encryption key.
const (
	keepKEKCall = "kek-keep" // have a member keep one that may take the place of that of now
	giveKEKCall = "kek-give" // ask a member for the one that the state says
)

// kekToKeep is one that may take the place of the one of now.
type kekToKeep struct {
	KEK     []byte `json:"kek"`
	After   uint64 `json:"after"`
	Removed uint64 `json:"removed"`
	Index   uint64 `json:"index"` // of the state that the leader goes by
}

// kekWanted is which one is asked for, and kekGiven the answer.
type (
	kekWanted struct {
		ID string `json:"id"`
	}
	kekGiven struct {
		KEK []byte `json:"kek"`
	}
)

// answerKEKs answers other members from the start on: one that starts may need a
// key-encryption key to get any further.
func (n *Node) answerKEKs() {
	n.replica.Handle(keepKEKCall, n.keepKEK)
	n.replica.Handle(giveKEKCall, n.giveKEK)
}

// ownKEKs refuses on a node whose key-encryption key is provided.
func (n *Node) ownKEKs() error {
	switch {
	case n.kek == nil:
		return broker.Refuse(broker.FailedPrecondition, "%s seals no keys (key-manager: memory)", n.config.NodeName)
	case !n.kek.own:
		return broker.Refuse(broker.FailedPrecondition, "%s is given its key-encryption key by %s, which is not handed over: give all members theirs in the same way", n.config.NodeName, kekVariable)
	}
	return nil
}

// keepKEK answers the leader, which is about to change the key-encryption key. It
// keeps one only if this node's state, which has everything that the leader's
// has, says the same: that the leader is a member, that none was removed since, and
// which key is in use. So nobody who is being removed has its own key kept.
func (n *Node) keepKEK(ctx context.Context, from replica.Peer, body []byte) ([]byte, error) {
	if err := n.ownKEKs(); err != nil {
		return nil, err
	}
	var asked kekToKeep
	defer func() { clear(asked.KEK) }()
	if err := json.Unmarshal(body, &asked); err != nil || len(asked.KEK) != keys.KEKBytes {
		return nil, broker.Refuse(broker.InvalidArgument, "that is no key-encryption key")
	}
	if err := n.replica.WaitIndex(ctx, asked.Index); err != nil {
		return nil, broker.Refuse(broker.Unavailable, "%s does not have what the leader has yet: %v", n.config.NodeName, err)
	}
	view := n.replica.View()
	if _, member := view.Member(string(from.ID)); !member {
		return nil, broker.Refuse(broker.PermissionDenied, "%s is no member of the cluster", from.ID)
	}
	if n.replica.Leader() != from.ID {
		return nil, broker.Refuse(broker.Unavailable, "%s does not lead, as far as %s knows", n.nameOf(from.ID), n.config.NodeName)
	}
	if sealing, _ := view.Sealing(); sealing.Index != asked.After || view.RemovedCount() != asked.Removed {
		return nil, broker.Refuse(broker.Aborted, "it was made from another state: the key-encryption key changed at log index %d and %d members were removed, not %d and %d",
			sealing.Index, view.RemovedCount(), asked.After, asked.Removed)
	}
	return []byte("{}"), n.kek.keep(successor{asked.After, asked.Removed, keys.KEKID(asked.KEK)}, asked.KEK)
}

// giveKEK answers a member that lacks the key-encryption key. It is given only the
// one that this node's state says: of whoever was removed before that one was made,
// this state knows.
func (n *Node) giveKEK(_ context.Context, from replica.Peer, body []byte) ([]byte, error) {
	view := n.replica.View()
	if _, member := view.Member(string(from.ID)); !member {
		return nil, broker.Refuse(broker.PermissionDenied, "%s is no member of the cluster, as far as %s knows", from.ID, n.config.NodeName)
	}
	if err := n.ownKEKs(); err != nil {
		return nil, err
	}
	var wanted kekWanted
	if err := json.Unmarshal(body, &wanted); err != nil {
		return nil, broker.Refuse(broker.InvalidArgument, "which key-encryption key is wanted cannot be read")
	}
	if sealing, _ := view.Sealing(); sealing.KEK == "" || sealing.KEK != wanted.ID || !n.kek.ring.Has(wanted.ID) {
		return nil, broker.Refuse(broker.Unavailable, "%s does not have the key-encryption key %.20q, or does not know yet that it seals", n.config.NodeName, wanted.ID)
	}
	kek, err := n.kek.read(wanted.ID)
	if err != nil {
		return nil, err
	}
	defer clear(kek)
	return json.Marshal(kekGiven{kek})
}

// fetchKEK gets the key-encryption key that the state says from whichever other
// member has it, and keeps it.
func (n *Node) fetchKEK(ctx context.Context, view *state.View, s state.Sealing) error {
	if err := n.ownKEKs(); err != nil {
		return fmt.Errorf("the authorities' keys are sealed with the key-encryption key %s, and this node is given %s by %s: give it %s", s.KEK, n.kek.ring.Sealing().ID(), kekVariable, s.KEK)
	}
	wanted, err := json.Marshal(kekWanted{s.KEK})
	if err != nil {
		return err
	}
	var errs []error
	for m := range view.Members() {
		if m.ID == string(n.replica.ID()) {
			continue
		}
		err := n.fetchKEKFrom(ctx, raft.ServerID(m.ID), wanted, s)
		if err == nil {
			n.log.Info("another member gave the key-encryption key that this node lacked", "kek", s.KEK, "member", m.Name)
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("there is no other member to ask"))
	}
	return fmt.Errorf("the authorities' keys are sealed with the key-encryption key %s, which came while this node was away, and no member has given it: start one that has it, or put a copy at %s: %w",
		s.KEK, n.dir.kek(), errors.Join(errs...))
}

func (n *Node) fetchKEKFrom(ctx context.Context, from raft.ServerID, wanted []byte, s state.Sealing) error {
	ctx, cancel := context.WithTimeout(ctx, kekCallTime)
	defer cancel()
	text, err := n.replica.Call(ctx, from, giveKEKCall, wanted)
	if err != nil {
		return err
	}
	defer clear(text)
	var given kekGiven
	if err := json.Unmarshal(text, &given); err != nil {
		return errors.New("its answer cannot be read")
	}
	defer clear(given.KEK)
	if len(given.KEK) != keys.KEKBytes || keys.KEKID(given.KEK) != s.KEK {
		return errors.New("it gave another one")
	}
	return n.kek.keep(successor{s.Index, 0, s.KEK}, given.KEK)
}
