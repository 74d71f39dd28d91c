package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/keys"
)

// reseal has another key-encryption key take the place of the one that view says:
// it is on the disks of a majority first, then the log has everything sealed with
// it.
func (n *Node) reseal(ctx context.Context, view *state.View, due state.ResealDue) error {
	if n.kek == nil {
		return errNothingSealed
	}
	sealing, _ := view.Sealing()
	removed := view.RemovedCount()
	next, err := n.nextKEK(ctx, view, sealing.Index, removed)
	if err != nil {
		return err
	}
	anew, err := n.sealedAnew(view, next)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, proposalTime)
	defer cancel()
	_, err = n.replica.Propose(ctx, n.act(whyReseal(due)), state.Reseal{KEK: next, Keys: anew, Removed: &removed, After: sealing.Index})
	return err
}

var errNothingSealed = broker.Refuse(broker.FailedPrecondition, "no key is sealed here: the authorities' keys live in the memory of one process (key-manager: memory), and end with it")

// whyReseal is the cause of a Reseal in the audit trail.
func whyReseal(due state.ResealDue) string {
	var why []string
	if due.Asked {
		why = append(why, "a new key-encryption key was asked for")
	}
	for i, r := range due.Removed {
		if i == 3 {
			why = append(why, fmt.Sprintf("%d more", len(due.Removed)-i))
			break
		}
		why = append(why, "member "+r.Name+" was removed")
	}
	return strings.Join(why, ", ")
}

// sealedAnew are all private keys, sealed with the key-encryption key called next:
// those too that sign no more, because their public halves are still in the bundle.
func (n *Node) sealedAnew(view *state.View, next string) ([]state.SealedKey, error) {
	domain, _ := view.Domain()
	var all []state.SealedKey
	for _, use := range []ca.Use{ca.X509, ca.JWT} {
		for _, a := range view.Authorities(use) {
			binding := ca.Binding{Cluster: domain.ClusterID, TrustDomain: domain.TrustDomain, Use: use, Authority: a.ID}
			sealed, err := n.kek.ring.Reseal(binding, a.Sealed, next)
			switch {
			case err == nil:
				all = append(all, state.SealedKey{Use: use, ID: a.ID, Sealed: sealed})
			case a.Status != ca.Old: // an old one may be published only, or have been lost long ago
				return nil, err
			}
		}
	}
	return all, nil
}

// nextKEK returns the name of the key-encryption key that may take the place of
// that of now: every member that must have it has it.
func (n *Node) nextKEK(ctx context.Context, view *state.View, after, removed uint64) (string, error) {
	if !n.kek.own {
		return n.providedNext(view, n.callRoll(ctx, n.others()))
	}
	next, kek, err := n.kek.successor(after, removed)
	if err != nil {
		return "", err
	}
	defer clear(kek)
	body, err := json.Marshal(kekToKeep{kek, after, removed, view.Index()})
	if err != nil {
		return "", err
	}
	defer clear(body)
	return next.id, n.give(ctx, view, body)
}

// give has the other members keep a key-encryption key. It fails unless a majority
// of those that vote has it, this node included, or if one will never have it.
func (n *Node) give(ctx context.Context, view *state.View, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, kekCallTime)
	defer cancel()
	answers := map[raft.ServerID]error{n.replica.ID(): nil}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, id := range membersOf(view) {
		if id == n.replica.ID() {
			continue
		}
		all.Go(func() {
			_, err := n.replica.Call(ctx, id, keepKEKCall, body)
			mu.Lock()
			defer mu.Unlock()
			answers[id] = err
		})
	}
	all.Wait()
	voters, kept := 0, 0
	for _, m := range n.replica.Status().Members {
		err, member := answers[m.ID]
		if !member || !m.Voter {
			continue
		}
		if voters++; err == nil {
			kept++
		}
	}
	var without []error
	for id, err := range answers {
		if err == nil {
			continue
		}
		without = append(without, fmt.Errorf("%s: %w", n.nameOf(id), err))
		if broker.CodeOf(err) == broker.FailedPrecondition {
			kept = -1
		}
	}
	if kept*2 > voters {
		return nil
	}
	slices.SortFunc(without, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return fmt.Errorf("a new key-encryption key must be on the disks of a majority of the members that vote before anything is sealed with it, and these did not keep it: %w", errors.Join(without...))
}

func membersOf(view *state.View) (ids []raft.ServerID) {
	for m := range view.Members() {
		ids = append(ids, raft.ServerID(m.ID))
	}
	return ids
}

// kekReport is what a member says of its key-encryption keys.
type kekReport struct {
	Seals    string   `json:"seals,omitempty"`    // the ID of the one that seals
	Provided bool     `json:"provided,omitempty"` // by the environment
	Others   []string `json:"others,omitempty"`   // IDs of those that may take its place
}

func (n *Node) kekReport() kekReport {
	if n.kek == nil {
		return kekReport{}
	}
	return kekReport{n.kek.ring.Sealing().ID(), !n.kek.own, n.kek.ring.Others()}
}

// has reports whether the member can open what the key-encryption key called id seals.
func (r kekReport) has(id string) bool { return r.Seals == id || slices.Contains(r.Others, id) }

// providedNext returns the name of the key-encryption key with which all members
// are provided to take the place of that of now, by what they report.
func (n *Node) providedNext(view *state.View, reports map[raft.ServerID]heard) (string, error) {
	others := n.kek.ring.Others()
	if len(others) == 0 {
		return "", broker.Refuse(broker.FailedPrecondition, "the key-encryption key is provided by %s, and so cannot be changed from here: "+
			"make one (openssl rand -base64 %d), start every member with it in %s beside %s, one after another, and it takes its place then", kekVariable, keys.KEKBytes, nextKEKVariable, kekVariable)
	}
	var without []string
	for m := range view.Members() {
		id := raft.ServerID(m.ID)
		switch h := reports[id]; {
		case id == n.replica.ID():
		case h.err != nil:
			without = append(without, m.Name+" does not answer")
		case !h.KEKs.Provided:
			without = append(without, m.Name+" keeps its own in a file")
		case !h.KEKs.has(others[0]):
			without = append(without, m.Name+" has another or none in "+nextKEKVariable)
		}
	}
	if len(without) > 0 {
		return "", broker.Refuse(broker.FailedPrecondition, "%s is to take the place of the key-encryption key that %s provides, and not every member has it (%s): start every member with the same one in %s",
			others[0], kekVariable, strings.Join(without, ", "), nextKEKVariable)
	}
	return others[0], nil
}

// Rekeyable implements registrar.Cluster.
func (m membership) Rekeyable(ctx context.Context) error {
	switch {
	case m.n.kek == nil:
		return errNothingSealed
	case m.n.kek.own:
		return nil
	}
	_, err := m.n.providedNext(m.n.replica.View(), m.n.callRoll(ctx, m.n.others()))
	return err
}
