package replica

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// ErrNoKey means that a directory with a log has lost the key of its node.
var ErrNoKey = errors.New("the node's key is missing")

const keyBlock = "PRIVATE KEY"

// ServerID returns the identity of the node that owns the public key spki, a
// DER SubjectPublicKeyInfo: its SHA-256 in lower-case hex.
func ServerID(spki []byte) raft.ServerID {
	sum := sha256.Sum256(spki)
	return raft.ServerID(hex.EncodeToString(sum[:]))
}

// identity is a node's key and the certificates that show it. Only the key says
// who the node is; names and dates in a certificate are never read.
type identity struct {
	id          raft.ServerID
	key         crypto.Signer   // nil in a cluster in one process
	incarnation uint64          // how often the node was started
	admission   [][]byte        // DER, of those who admitted it; none for who founded the cluster
	certificate tls.Certificate // its own, then admission
}

// EnsureIdentity returns the identity of the node whose replica is in dir, and
// makes its key if dir holds neither a key nor a log.
func EnsureIdentity(dir string) (raft.ServerID, error) {
	if err := makePrivate(dir); err != nil {
		return "", err
	}
	me, err := loadIdentity(dir)
	return me.id, err
}

// EnsureKey returns the public key of the node whose replica is in dir, a DER
// SubjectPublicKeyInfo, and makes the key if dir holds neither a key nor a log.
func EnsureKey(dir string) ([]byte, error) {
	if err := makePrivate(dir); err != nil {
		return nil, err
	}
	me, err := loadIdentity(dir)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(me.key.Public())
}

func loadIdentity(dir string) (identity, error) {
	path := filepath.Join(dir, keyFile)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeIdentity(dir, path)
	}
	if err != nil {
		return identity{}, fmt.Errorf("read the node's key: %w", err)
	}
	block, rest := pem.Decode(content)
	if block == nil || block.Type != keyBlock || len(rest) != 0 {
		return identity{}, fmt.Errorf("%s is not one PEM block %q: put back the node's key from where it was copied", path, keyBlock)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return identity{}, fmt.Errorf("%s holds no usable key: %w; put back the node's key from where it was copied", path, err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return identity{}, fmt.Errorf("%s holds a %T, which cannot sign", path, parsed)
	}
	// Not all of it is needed to sign: what is damaged elsewhere is damaged too.
	if again, err := x509.MarshalPKCS8PrivateKey(key); err != nil || !bytes.Equal(again, block.Bytes) {
		return identity{}, fmt.Errorf("%w: %s is not as it was written: put back the node's key from where it was copied", ErrCorrupt, path)
	}
	return newIdentity(key)
}

// makeIdentity makes a key for a directory that is new. A log without a key is
// a loss that a person has to see: with another key the node would be a
// stranger to its own cluster.
func makeIdentity(dir, path string) (identity, error) {
	_, err := os.Stat(filepath.Join(dir, logFile))
	if err == nil {
		return identity{}, fmt.Errorf("%w: %s is not there, but %s holds a log; put the key back", ErrNoKey, path, dir)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return identity{}, fmt.Errorf("look for a log in %s: %w", dir, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, fmt.Errorf("make the node's key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return identity{}, fmt.Errorf("encode the node's key: %w", err)
	}
	if err := writeWhole(path, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})); err != nil {
		return identity{}, err
	}
	return newIdentity(key)
}

func newIdentity(key crypto.Signer) (identity, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return identity{}, fmt.Errorf("encode the node's public key: %w", err)
	}
	return identity{id: ServerID(spki), key: key}, nil
}

// show makes what the node shows of itself: its own certificate, of this
// incarnation, and those of its admission.
func (me identity) show(incarnation uint64, admission [][]byte) (identity, error) {
	own, err := vouched(me.key.Public(), incarnation, "", me.key)
	if err != nil {
		return me, err
	}
	me.incarnation, me.admission = incarnation, admission
	me.certificate = tls.Certificate{Certificate: append([][]byte{own}, admission...), PrivateKey: me.key}
	return me, nil
}

// admit makes the chain that leads from the key subject to this node's, and
// from there on as this node's own.
func (me identity) admit(subject crypto.PublicKey, cluster string) ([][]byte, error) {
	der, err := vouched(subject, 1, cluster, me.key)
	if err != nil {
		return nil, err
	}
	rest := me.admission
	if len(rest) == 0 {
		rest = me.certificate.Certificate[:1] // a founder vouches for itself
	}
	chain := append([][]byte{der}, rest...)
	return chain[:min(len(chain), keptLinks)], nil
}
