package replica

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/hashicorp/raft"
)

// A node shows a chain of certificates, each of which only says "this key was
// admitted by the next one": its own, signed by itself, whose serial number is
// the node's incarnation; then that of its admission, signed by the node that
// led when it joined; then that node's, and so on. A member that has not heard
// of an admission yet finds in it a key that it knows.

// maxLinks bounds a chain that is shown, keptLinks one that is kept: whoever is
// so far behind that none of the last members is known to it must be told.
const (
	maxLinks  = 16
	keptLinks = 8
)

// noEnd is the end of what does not end (RFC 5280 §4.1.2.5): no expiry can keep
// a cold cluster from starting.
var noEnd = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// vouched makes the certificate with which signer says that it knows the key
// subject, of a node in cluster.
func vouched(subject crypto.PublicKey, serial uint64, cluster string, signer crypto.Signer) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(subject)
	if err != nil {
		return nil, fmt.Errorf("encode a node's public key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetUint64(serial),
		Subject:      pkix.Name{CommonName: string(ServerID(spki))},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     noEnd,
	}
	if cluster != "" {
		template.Subject.Organization = []string{cluster}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, subject, signer)
	if err != nil {
		return nil, fmt.Errorf("make a node's certificate: %w", err)
	}
	return der, nil
}

// links returns the keys that a chain leads along, the node's own first. It
// ends where a link does not hold.
func links(chain []*x509.Certificate) ([]raft.ServerID, error) {
	if len(chain) == 0 {
		return nil, errors.New("it shows no certificate")
	}
	if len(chain) > maxLinks {
		return nil, fmt.Errorf("it shows %d certificates, the most is %d", len(chain), maxLinks)
	}
	keys := []raft.ServerID{certified(chain[0])}
	for i, cert := range chain[1:] {
		if certified(cert) != keys[len(keys)-1] || i+2 >= len(chain) {
			break // of another key, or nobody's signature is there to look at
		}
		voucher := chain[i+2]
		if voucher.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil {
			break
		}
		keys = append(keys, certified(voucher))
	}
	return keys, nil
}

// certified is the node whose key a certificate holds.
func certified(cert *x509.Certificate) raft.ServerID { return ServerID(cert.RawSubjectPublicKeyInfo) }

// incarnation is what a node's own certificate says of how often it started.
func incarnation(cert *x509.Certificate) uint64 {
	if !cert.SerialNumber.IsUint64() {
		return 0
	}
	return cert.SerialNumber.Uint64()
}
