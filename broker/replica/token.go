package replica

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// JoinToken lets one node join. It is a key: whoever has it can vouch for one
// node, which shows a certificate that the key signed; the cluster knows only the
// public half. It says who the members are, so that the new node talks to nobody
// else.
type JoinToken struct {
	Seed      []byte    `json:"k"` // of an Ed25519 key (RFC 8032 §5.1.5)
	Name      string    `json:"n"` // node-name of the node that may join
	ExpiresAt time.Time `json:"e"`
	Cluster   string    `json:"c"`
	Domain    string    `json:"d"` // trust domain
	Members   []Seed    `json:"m"`
}

const (
	tokenPrefix   = "concord-join-1."
	maxTokenBytes = 8 << 10

	// knockTime is how long one member is waited for, which itself may have to
	// wait for a leader; then the next is asked.
	knockTime = 12 * time.Second
)

// NewJoinToken makes a token with a key of its own; its other fields are the caller's.
func NewJoinToken() (JoinToken, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return JoinToken{}, fmt.Errorf("make a join token: %w", err)
	}
	return JoinToken{Seed: seed}, nil
}

// ID is what the cluster knows a token by: the SHA-256 of its public key.
func (t JoinToken) ID() (string, error) {
	spki, err := x509.MarshalPKIXPublicKey(t.key().Public())
	return string(ServerID(spki)), err
}

func (t JoinToken) key() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(t.Seed) }

// Text is the token as a person copies it. It is a secret.
func (t JoinToken) Text() (string, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("write a join token: %w", err)
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(text), nil
}

// ParseJoinToken reads what Text wrote. Its errors never show the token.
func ParseJoinToken(text string) (JoinToken, error) {
	var t JoinToken
	rest, ours := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	if !ours || len(rest) > maxTokenBytes {
		return t, fmt.Errorf("this is no join token: one begins with %s and is made by concord cluster token on a member", tokenPrefix)
	}
	raw, err := base64.RawURLEncoding.DecodeString(rest)
	more := false
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(&t)
		_, after := decoder.Token()
		more = !errors.Is(after, io.EOF)
	}
	if err != nil || more || len(t.Seed) != ed25519.SeedSize || len(t.Members) == 0 {
		return JoinToken{}, errors.New("the join token is not whole: copy all of what concord cluster token printed")
	}
	return t, nil
}

// Knock asks the members that t names, one after another, to let the node in
// dir join; body goes with the question, over connections that
// open opens (nil: TCP). It returns the answer of the first that
// gave one, and their errors if none did. dir is given a node's key if it has none.
func Knock(ctx context.Context, dir string, t JoinToken, open DialFunc, body []byte) ([]byte, error) {
	if err := makePrivate(dir); err != nil {
		return nil, err
	}
	me, err := loadIdentity(dir)
	if err != nil {
		return nil, err
	}
	admission, err := vouchedFor(me, t)
	if err != nil {
		return nil, err
	}
	if me, err = me.show(1, admission); err != nil {
		return nil, err
	}
	var errs []error
	for _, member := range t.Members {
		answer, err := knock(ctx, me, t, member.Address, open, body)
		if err == nil {
			return answer, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", member.Address, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// vouchedFor is the chain that leads from me to the token.
func vouchedFor(me identity, t JoinToken) ([][]byte, error) {
	own, err := vouched(me.key.Public(), 1, t.Cluster, t.key())
	if err != nil {
		return nil, err
	}
	itself, err := vouched(t.key().Public(), 1, t.Cluster, t.key())
	return [][]byte{own, itself}, err
}

func knock(ctx context.Context, me identity, t JoinToken, address raft.ServerAddress, open DialFunc, body []byte) ([]byte, error) {
	s := &stream{me: me, reach: t.member, open: open}
	phone := &telephone{&http.Client{Transport: &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, handshakeTime)
			defer cancel()
			return s.dial(ctx, address, s.config(s.reach, nil, nodeProtocol))
		},
	}}}
	defer phone.close()
	ctx, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	return phone.post(ctx, "member", JoinCall, body)
}

// member is a recogniser of those whom the token names, and of those whom they admitted.
func (t JoinToken) member(_ string, chain []*x509.Certificate) (Peer, error) {
	keys, err := links(chain)
	if err != nil {
		return Peer{}, err
	}
	for _, key := range keys {
		if slices.ContainsFunc(t.Members, func(m Seed) bool { return m.ID == key }) {
			return Peer{ID: keys[0]}, nil
		}
	}
	return Peer{}, fmt.Errorf("%w that the token names, nor was it admitted by one: somebody else answers at this address, or the token is of another cluster", errNotMember)
}
