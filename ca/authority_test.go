package ca_test

import (
	"crypto"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
	"github.com/concord-id/concord/ca/keys"
)

var (
	acme = spiffeid.RequireTrustDomainFromString("acme.example")
	bank = spiffeid.RequireTrustDomainFromString("bank.example")
	// began is a whole second, as everything in certificates is.
	began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

const day = 24 * time.Hour

// domainOf makes authorities of td whose keys are in this process.
func domainOf(td spiffeid.TrustDomain, kt ca.KeyType) issue.Domain {
	return issue.Domain{Keys: keys.NewMemory(), Cluster: "cluster", TrustDomain: td, KeyType: kt}
}

// authority is a prepared authority of td and its private key.
func authority(t testing.TB, td spiffeid.TrustDomain, use ca.Use, kt ca.KeyType) (ca.Authority, crypto.Signer) {
	t.Helper()
	domain := domainOf(td, kt)
	a, err := domain.NewAuthority(use, 90*day, began)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := domain.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	return a, signer
}
