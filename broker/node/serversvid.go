package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
)

// serverSVID is this node's own /spire/server certificate.
type serverSVID struct {
	mu          sync.Mutex
	certificate *tls.Certificate
	authority   string
	renewAt     time.Time
}

// serverCertificate presents spiffe://<td>/spire/server, signed by this node's
// intermediate; it is made anew at half of its life, or when the root turned.
func (n *Node) serverCertificate() (*tls.Certificate, error) {
	n.server.mu.Lock()
	defer n.server.mu.Unlock()
	now := time.Now()
	intermediate := n.issuer.X509()
	if n.server.certificate != nil && now.Before(n.server.renewAt) && intermediate != nil && intermediate.AuthorityID() == n.server.authority &&
		n.published(ca.X509, n.server.authority) == nil {
		return n.server.certificate, nil
	}
	id, err := spiffeid.FromPath(n.domain.TrustDomain, "/spire/server")
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	domain, _ := n.replica.View().Domain()
	svid, err := n.x509SVID(ca.X509Request{ID: id, PublicKey: key.Public(), TTL: domain.Settings.X509TTL})
	if err != nil {
		return nil, fmt.Errorf("sign this node's own certificate: %w", err)
	}
	n.server.certificate = &tls.Certificate{Certificate: svid.Certificates, PrivateKey: key}
	n.server.authority = svid.AuthorityID
	n.server.renewAt = now.Add(svid.NotAfter.Sub(now) / 2)
	return n.server.certificate, nil
}
