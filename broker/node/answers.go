package node

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/ca/issue"
)

// answering is a call whose answer is JSON.
func answering(do func(ctx context.Context, body []byte) (any, error)) replica.Handler {
	return func(ctx context.Context, _ replica.Peer, body []byte) ([]byte, error) {
		answer, err := do(ctx, body)
		if err != nil {
			return nil, err
		}
		return json.Marshal(answer)
	}
}

// answer answers the calls of other members, as far as they need no machine but
// the replica.
func (n *Node) answer() {
	n.replica.Handle(reportCall, answering(func(context.Context, []byte) (any, error) { return n.report(), nil }))
	n.replica.Handle(intermediateCall, answering(func(ctx context.Context, csr []byte) (any, error) {
		if !n.replica.Leading() {
			return nil, broker.Refuse(broker.Unavailable, "this node does not lead, and only the leader signs intermediates: try again in a moment")
		}
		der, authority, err := n.localRoot().SignIntermediate(ctx, csr)
		return intermediate{der, authority}, err
	}))
	n.replica.Handle(replica.JoinCall, n.admit)
	n.replica.Handle(fenceCall, answering(n.fenced))
	n.replica.Handle(transferCall, answering(n.transfer))
	n.answerPolls()
}

const intermediateCall = "intermediate"

// intermediate is the answer to a certificate request.
type intermediate struct {
	Certificate []byte `json:"certificate"` // DER
	Authority   string `json:"authority"`
}

// leaderRoot has this node's intermediate signed by whoever leads; only the
// leader uses the root.
type leaderRoot struct{ n *Node }

// SignIntermediate implements issue.RootSigner.
func (r leaderRoot) SignIntermediate(ctx context.Context, csr []byte) ([]byte, string, error) {
	if r.n.replica.Leading() {
		return r.n.localRoot().SignIntermediate(ctx, csr)
	}
	text, err := r.n.replica.CallLeader(ctx, intermediateCall, csr)
	if err != nil {
		return nil, "", fmt.Errorf("ask the leader for an intermediate: %w", err)
	}
	var answer intermediate
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, "", fmt.Errorf("read the leader's answer: %w", err)
	}
	return answer.Certificate, answer.Authority, nil
}

func (n *Node) localRoot() issue.LocalRoot {
	return issue.LocalRoot{Domain: n.domain, Ledger: n.authorities()}
}
