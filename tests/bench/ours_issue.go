package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
)

var (
	benchDomain = spiffeid.RequireTrustDomainFromString("bench.example")
	benchID     = spiffeid.RequireFromPath(benchDomain, "/workload")
)

// issuer is one that can sign both kinds of SVIDs, with P-256 keys.
func issuer() (*issue.Issuer, error) {
	domain := issue.Domain{Keys: keys.NewMemory(), Cluster: "bench", TrustDomain: benchDomain, KeyType: ca.P256}
	now := time.Now()
	root, err := domain.NewAuthority(ca.X509, 90*24*time.Hour, now)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := domain.SignIntermediate(root, key.Public(), 24*time.Hour, now)
	if err != nil {
		return nil, err
	}
	intermediate, err := issue.NewIntermediate(der, key, root.ID)
	if err != nil {
		return nil, err
	}
	jwt, err := domain.NewAuthority(ca.JWT, 90*24*time.Hour, now)
	if err != nil {
		return nil, err
	}
	signer, err := domain.Open(jwt)
	if err != nil {
		return nil, err
	}
	jwtKey, err := issue.NewJWTKey(benchDomain, jwt, signer)
	if err != nil {
		return nil, err
	}
	i := issue.New()
	i.SetX509(intermediate)
	i.SetJWT(jwtKey)
	return i, nil
}

// oursX509: a CSR is checked and an X.509-SVID signed.
func oursX509(context.Context) (workloadUnderTest, error) {
	i, err := issuer()
	if err != nil {
		return workloadUnderTest{}, err
	}
	csr, err := newCSR()
	if err != nil {
		return workloadUnderTest{}, err
	}
	return workloadUnderTest{func() error {
		request, err := ca.CheckCSR(csr)
		if err != nil {
			return err
		}
		_, err = i.X509SVID(ca.X509Request{ID: benchID, PublicKey: request.PublicKey, TTL: time.Hour}, time.Now())
		return err
	}, nothingToClose}, nil
}

// oursJWT: a JWT-SVID is signed.
func oursJWT(context.Context) (workloadUnderTest, error) {
	i, err := issuer()
	if err != nil {
		return workloadUnderTest{}, err
	}
	return workloadUnderTest{func() error {
		_, err := i.JWTSVID(ca.JWTRequest{ID: benchID, Audience: []string{"spiffe://other.example/api"}, TTL: 5 * time.Minute}, time.Now())
		return err
	}, nothingToClose}, nil
}
