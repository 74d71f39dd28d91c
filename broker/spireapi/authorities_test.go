package spireapi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"

	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
)

// stage is the authority of a use with a status; it has no ID if there is none.
func stage(s *served, use ca.Use, status ca.Status) ca.Authority {
	for _, a := range s.View().Authorities(use) {
		if a.Status == status {
			return a
		}
	}
	return ca.Authority{}
}

func activate(s *served, use ca.Use) state.Command {
	return state.ActivateAuthority{Use: use, ID: stage(s, use, ca.Prepared).ID, Force: true, VouchFor: time.Hour}
}

func taint(s *served, use ca.Use) state.Command {
	return state.TaintAuthority{Use: use, ID: stage(s, use, ca.Old).ID}
}

// root is a root certificate with size bytes that mean nothing.
func root(t testing.TB, size int) *types.X509Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:        x509.KeyUsageCertSign,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: make([]byte, size)}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &types.X509Certificate{Asn1: der}
}

// rootPEM is a CA certificate in PEM.
func rootPEM(t testing.TB) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root(t, 1).Asn1}))
}
