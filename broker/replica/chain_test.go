package replica_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/replica"
	"github.com/concord-id/concord/broker/state"
)

// What follows is written as somebody would write it who wants to be let in,
// with nothing of the package that lets in.

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keyIn is the key of the node in dir.
func keyIn(t testing.TB, dir string) crypto.Signer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

func spkiOf(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func idOf(t testing.TB, key crypto.Signer) raft.ServerID { return replica.ServerID(spkiOf(t, key)) }

// link is a certificate with which one key vouches for another; change, if it
// is there, is made to it first.
func link(t testing.TB, subject, by crypto.Signer, change ...func(*x509.Certificate)) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: string(idOf(t, subject)), Organization: []string{"cluster"}},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	for _, f := range change {
		f(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, subject.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// start makes a certificate that of the n-th start of its node.
func start(n int64) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.SerialNumber = big.NewInt(n) }
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Unix(0, 0), time.Now().Add(-10*365*24*time.Hour)
}

// shown is what the owner of key shows.
func shown(key crypto.Signer, chain ...[]byte) tls.Certificate {
	return tls.Certificate{Certificate: chain, PrivateKey: key}
}

// house is a node that founded a cluster, over whose port others want to come in.
type house struct {
	t   testing.TB
	dir string
	key crypto.Signer
	r   *replica.Replica

	requests int
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	h.r = open(t, replica.Options{Dir: h.dir})
	leads(t, h.r)
	makeDomain(t, h.r)
	h.key = keyIn(t, h.dir)
	h.do(state.PutMember{Member: h.member("founder", h.key, h.r.Incarnation())})
	return h
}

func (h *house) member(name string, key crypto.Signer, incarnation uint64) state.Member {
	return state.Member{
		ID: string(idOf(h.t, key)), Name: name, Address: "127.0.0.1:1", Incarnation: incarnation, Version: "1", Commands: state.NewestCommand,
	}
}

func (h *house) do(c state.Command) { h.t.Helper(); h.doAt(time.Now(), c) }

func (h *house) doAt(at time.Time, c state.Command) {
	h.t.Helper()
	h.requests++
	by := broker.Act{Actor: "test", RequestID: "house-" + string(rune('A'+h.requests)), At: at}
	if _, err := h.r.Propose(patience(h.t), by, c); err != nil {
		h.t.Fatalf("%T: %v", c, err)
	}
}

// token makes the key of a join token for a node known.
func (h *house) token(name string, until time.Time) crypto.Signer {
	h.t.Helper()
	key := newKey(h.t)
	h.doAt(until.Add(-time.Hour), state.PutJoinToken{Token: state.JoinToken{ID: string(idOf(h.t, key)), Name: name, ExpiresAt: until}})
	return key
}

// use uses a token up.
func (h *house) use(token crypto.Signer, name string, key crypto.Signer) {
	h.t.Helper()
	h.do(state.AdmitMember{Token: string(idOf(h.t, token)), Member: h.member(name, key, 0)})
}

// admit makes a member of a new key.
func (h *house) admit(name string) crypto.Signer {
	h.t.Helper()
	key := newKey(h.t)
	h.use(h.token(name, time.Now().Add(time.Hour)), name, key)
	return key
}

// chain is how a node shows that the founder admitted key.
func (h *house) chain(key crypto.Signer) [][]byte {
	return [][]byte{link(h.t, key, key), link(h.t, key, h.key), link(h.t, h.key, h.key)}
}
