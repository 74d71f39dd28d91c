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
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

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

// identity is a node's key and the certificate that shows it. Only the key
// says who the node is; names and dates in the certificate are never read, so
// no expiry can keep a cold cluster from starting.
type identity struct {
	id          raft.ServerID
	certificate tls.Certificate
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
	id := ServerID(spki)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: string(id)},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 §4.1.2.5: no end
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return identity{}, fmt.Errorf("make the node's certificate: %w", err)
	}
	return identity{id: id, certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}, nil
}
