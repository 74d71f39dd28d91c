package node

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

// joinTime bounds the asking to be let in.
const joinTime = 30 * time.Second

// joinRequest is what a new node says of itself. Its key is that of the
// connection on which it asks.
type joinRequest struct {
	Key     []byte `json:"key"` // DER SubjectPublicKeyInfo
	Name    string `json:"name"`
	Address string `json:"address"`
	Version string `json:"version"`
	// Commands is the newest command that its version knows.
	Commands uint64   `json:"commands"`
	Settings [32]byte `json:"settings"`
}

// joinAnswer is what it is given.
type joinAnswer struct {
	Cluster     string            `json:"cluster"`
	TrustDomain string            `json:"trust_domain"`
	KEK         []byte            `json:"kek,omitempty"` // nil: it is provided to each member in another way
	Admission   replica.Admission `json:"admission"`
}

// join makes this node a member of the cluster that a token names, unless it is one.
func (n *Node) join(ctx context.Context) error {
	if n.token == "" {
		return nil
	}
	if _, joined, err := replica.ReadAdmission(n.dir.raft()); err != nil || joined {
		return err // it has joined before: the token is used up
	}
	token, err := replica.ParseJoinToken(n.token)
	if err != nil {
		return err
	}
	switch {
	case n.dir.hasLog():
		return fmt.Errorf("%s holds the data of another node: a node joins with an empty data directory", n.config.DataDir)
	case token.Name != n.config.NodeName:
		return fmt.Errorf("the token is for a node named %s, and this one is named %s: start it with --node-name %s, or make a token for its name", token.Name, n.config.NodeName, token.Name)
	case n.config.TrustDomain != "" && n.config.TrustDomain != token.Domain:
		return fmt.Errorf("trust-domain is %s, and the token is for the trust domain %s", n.config.TrustDomain, token.Domain)
	case !time.Now().Before(token.ExpiresAt):
		return fmt.Errorf("the token expired at %s: make another with concord cluster token", token.ExpiresAt.Format(time.RFC3339))
	case n.config.KeyManager != KeysSealed:
		return fmt.Errorf("key-manager is %s: keys that live in one process cannot be had by several members", n.config.KeyManager)
	}
	answer, err := n.knock(ctx, token)
	if err != nil {
		return fmt.Errorf("join the cluster of %s: %w", token.Domain, err)
	}
	if err := n.takeKEK(answer); err != nil {
		return err
	}
	n.say("Admitted to the cluster of %s. From now on start this node with concord node run.", answer.TrustDomain)
	return replica.WriteAdmission(n.dir.raft(), answer.Admission)
}

func (n *Node) knock(ctx context.Context, token replica.JoinToken) (joinAnswer, error) {
	var answer joinAnswer
	key, err := replica.EnsureKey(n.dir.raft())
	if err != nil {
		return answer, err
	}
	body, err := json.Marshal(joinRequest{
		Key: key, Name: n.config.NodeName, Address: n.advertised(), Version: n.version, Commands: n.around.commands(), Settings: settingsDigest(n.config.settings()),
	})
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	text, err := replica.Knock(ctx, n.dir.raft(), token, n.around.network().Dial, body)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	// A token that is not good is refused in the handshake, without a word.
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" {
		err = fmt.Errorf("a member refuses the join token: it was used by another node, has expired, or that member does not know it; make another with concord cluster token: %w", err)
	}
	return answer, err
}

// takeKEK keeps the key-encryption key that was handed over, or checks the one
// that this node was given in another way.
func (n *Node) takeKEK(a joinAnswer) error {
	if a.KEK == nil {
		if _, provided := os.LookupEnv(kekVariable); !provided {
			return fmt.Errorf("the other members are given the key-encryption key by %s: give it to this node too, it is not handed over", kekVariable)
		}
		return nil // whether it is the same one shows when the first key is opened
	}
	if _, provided := os.LookupEnv(kekVariable); provided {
		return fmt.Errorf("%s is set here, and the other members keep the key-encryption key in a file: unset it, the key is handed over", kekVariable)
	}
	defer clear(a.KEK)
	err := os.WriteFile(n.dir.kek(), a.KEK, 0o600)
	if err == nil {
		err = errors.Join(syncFile(n.dir.kek()), syncDirectory(n.dir.private()))
	}
	if err != nil {
		return fmt.Errorf("keep the key-encryption key: %w", err)
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// hasLog reports whether a node has lived in this directory.
func (d dataDir) hasLog() bool {
	_, err := os.Stat(d.log())
	return !errors.Is(err, fs.ErrNotExist)
}

// admit answers a node that asks to join. The token is used up in the log before
// the key-encryption key leaves this node.
func (n *Node) admit(ctx context.Context, from replica.Peer, body []byte) ([]byte, error) {
	var asked joinRequest
	if err := json.Unmarshal(body, &asked); err != nil {
		return nil, broker.Refuse(broker.InvalidArgument, "the request to join cannot be read: %v", err)
	}
	if from.Token == "" || replica.ServerID(asked.Key) != from.ID {
		return nil, broker.Refuse(broker.PermissionDenied, "a node joins with its own key and a token")
	}
	key, err := x509.ParsePKIXPublicKey(asked.Key)
	if err != nil {
		return nil, broker.Refuse(broker.InvalidArgument, "the node's key cannot be read: %v", err)
	}
	kek, err := n.handOverKEK()
	if err != nil {
		return nil, err
	}
	clear(kek) // asked for now only to refuse before the token is used up
	member := state.Member{
		ID: string(from.ID), Name: asked.Name, Address: asked.Address, Incarnation: 0, Version: asked.Version, Commands: asked.Commands, Settings: asked.Settings,
	}
	act := n.act("a node joins with its token")
	act.Actor = "join-token:" + asked.Name
	applied, err := n.replica.Propose(ctx, act, state.AdmitMember{Token: from.Token, Member: member})
	if err != nil {
		return nil, err
	}
	if err := n.replica.WaitIndex(ctx, applied.Index); err != nil {
		return nil, err
	}
	if kek, err = n.handOverKEK(); err != nil {
		return nil, err
	}
	defer clear(kek)
	domain, _ := n.replica.View().Domain()
	chain, err := n.replica.Admit(key, domain.ClusterID)
	if err != nil {
		return nil, err
	}
	n.log.Info("a node joins", "member", asked.Name, "id", from.ID, "address", asked.Address)
	return json.Marshal(joinAnswer{
		Cluster: domain.ClusterID, TrustDomain: domain.TrustDomain.Name(), KEK: kek,
		Admission: replica.Admission{Chain: chain, Members: n.replica.Seeds()},
	})
}

// ring makes sure that whoever waits for bell wakes once more.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
