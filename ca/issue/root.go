package issue

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/concord-id/concord/ca"
)

// LocalRoot is the RootSigner of a leader: it opens the active root for one
// signature and forgets it. Whoever calls it has made sure that this node
// leads and that who asks is a member.
type LocalRoot struct {
	Domain Domain
	Ledger Ledger
}

// SignIntermediate checks a member's request and signs an intermediate that
// ends after the terms' IntermediateTTL, or with the root. Of the request only
// its key is used.
func (r LocalRoot) SignIntermediate(ctx context.Context, csr []byte) (der []byte, authorityID string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	request, err := ca.CheckCSR(csr)
	if err != nil {
		return nil, "", err
	}
	active, ok := activeOf(r.Ledger.Authorities(ca.X509))
	if !ok {
		return nil, "", fmt.Errorf("%w: the domain has no active X.509 authority", ErrNotReady)
	}
	der, err = r.Domain.SignIntermediate(active, request.PublicKey, r.Ledger.Terms().IntermediateTTL, time.Now())
	if err != nil {
		return nil, "", fmt.Errorf("sign an intermediate by X.509 authority %s: %w", active.ID, err)
	}
	return der, active.ID, nil
}

// newRequest makes a key for an intermediate and a certificate request for it.
func newRequest(kt ca.KeyType) (crypto.Signer, []byte, error) {
	signer, err := intermediateKey(kt)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key for the intermediate: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate request for the intermediate: %w", err)
	}
	return signer, csr, nil
}

// intermediateKey is of the same family as the domain's authorities, so that
// whoever can check a root can check the chain. An intermediate lives a day:
// RSA-2048 is enough, and 4096 bits would cost every SVID.
func intermediateKey(kt ca.KeyType) (crypto.Signer, error) {
	switch kt {
	case ca.P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ca.RSA2048, ca.RSA4096:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// signedBy checks that in is by the root that it says, and that this root is
// published and still signs (it may be prepared here, if this node is a moment
// behind the leader, and active there).
func signedBy(in *Intermediate, authorities []ca.Authority) error {
	for _, a := range authorities {
		if a.ID != in.AuthorityID() {
			continue
		}
		if a.Status == ca.Old || a.Tainted {
			return fmt.Errorf("the intermediate was signed by X.509 authority %s, which signs no more", a.ID)
		}
		root, err := a.Certificate()
		if err != nil {
			return err
		}
		if err := in.cert.CheckSignatureFrom(root); err != nil {
			return fmt.Errorf("the intermediate is not signed by X.509 authority %s: %w", a.ID, err)
		}
		if !time.Now().Before(in.NotAfter()) {
			return errors.New("the intermediate ended before it was used: compare the clocks of the members")
		}
		return nil
	}
	return fmt.Errorf("the intermediate was signed by X.509 authority %.80q, which is not in the committed bundle", in.AuthorityID())
}
