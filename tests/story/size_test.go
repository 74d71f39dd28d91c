package story

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/world"
)

// large is a bundle of a domain that is nearly as large as one may be.
func large(t *testing.T, name string) *federation.Bundle {
	t.Helper()
	b := &federation.Bundle{TrustDomain: spiffeid.RequireTrustDomainFromString(name), Sequence: 1, Sequenced: true}
	padding := world.Must[[]byte](t)(asn1.Marshal(make([]byte, 24<<10)))
	for serial := range 7 {
		key := world.Must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(serial + 1)), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
			URIs:            []*url.URL{b.TrustDomain.ID().URL()},
			ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 99, 1}, Value: padding}},
		}
		der := world.Must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
		b.X509 = append(b.X509, world.Must[*x509.Certificate](t)(x509.ParseCertificate(der)))
	}
	return b
}

// DESIGN §2.5, RELIABILITY row 13: gRPC's default 4 MiB is what a client takes.
func TestManyLargeBundlesNeverCostAWorkloadItsOwnSVIDs(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	admin := n.Admin()
	var names []string
	for i := range 32 {
		b := large(t, fmt.Sprintf("peer%d.example", i))
		admin.SetBundle(b.TrustDomain, world.Must[[]byte](t)(b.Marshal()))
		names = append(names, b.TrustDomain.Name())
	}
	admin.Register(client.Entry{SPIFFEID: n.ID("/billing").String(), FederatesWith: names})
	contexts, bundles := n.WatchX509(), n.WatchX509Bundles()
	c := contexts.Next()
	if c.DefaultSVID().ID != n.ID("/billing") || !c.Bundles.Has(n.TrustDomain) {
		t.Errorf("the workload is %s and has its own domain's bundle: %v", c.DefaultSVID().ID, c.Bundles.Has(n.TrustDomain))
	}
	if got := c.Bundles.Len(); got < 16 || got > 25 {
		t.Errorf("it has %d bundles, want as many as fit", got)
	}
	if s := bundles.Next(); !s.Has(n.TrustDomain) || s.Len() < 16 {
		t.Errorf("%d bundles, its own domain's among them: %v", s.Len(), s.Has(n.TrustDomain))
	}
	// It is said which are left out.
	n.Log.Await(t, "left_out=")
}
