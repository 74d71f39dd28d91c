package spireapi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"net/url"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memcluster"
)

func csr(t testing.TB, uri string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{u}, DNSNames: []string{"db.acme.example"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestMintX509SVID(t *testing.T) {
	s := serve(t, memcluster.Options{})
	client := svidv1.NewSVIDClient(s.conn)
	resp, err := client.MintX509SVID(t.Context(), &svidv1.MintX509SVIDRequest{Csr: csr(t, "spiffe://acme.example/db"), Ttl: 600})
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(resp.Svid.Id, id("/db")) || resp.Svid.ExpiresAt < time.Now().Add(9*time.Minute).Unix() || resp.Svid.ExpiresAt > time.Now().Add(10*time.Minute).Unix() {
		t.Errorf("minted %v until %d", resp.Svid.Id, resp.Svid.ExpiresAt)
	}
	got, _, err := x509svid.ParseAndVerify(resp.Svid.CertChain, s.X509Bundle())
	if err != nil || got != s.ID("/db") {
		t.Errorf("go-spiffe verifies %s, %v", got, err)
	}
	for _, bad := range []*svidv1.MintX509SVIDRequest{
		{}, {Csr: []byte("x")}, {Csr: csr(t, "spiffe://bank.example/db")}, {Csr: csr(t, "https://acme.example/db")}, {Csr: csr(t, "spiffe://acme.example/db"), Ttl: -1},
	} {
		_, err := client.MintX509SVID(t.Context(), bad)
		wantCode(t, err, codes.InvalidArgument)
	}
}

func TestMintJWTSVID(t *testing.T) {
	s := serve(t, memcluster.Options{})
	client := svidv1.NewSVIDClient(s.conn)
	resp, err := client.MintJWTSVID(t.Context(), &svidv1.MintJWTSVIDRequest{Id: id("/db"), Audience: []string{"bank"}, Ttl: 60})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Svid.ExpiresAt-resp.Svid.IssuedAt != 60 || !proto.Equal(resp.Svid.Id, id("/db")) {
		t.Errorf("minted %v from %d to %d", resp.Svid.Id, resp.Svid.IssuedAt, resp.Svid.ExpiresAt)
	}
	if got, err := jwtsvid.ParseAndValidate(resp.Svid.Token, s.JWTBundle(), []string{"bank"}); err != nil || got.ID != s.ID("/db") {
		t.Errorf("go-spiffe reads %v, %v", got, err)
	}
	for _, bad := range []*svidv1.MintJWTSVIDRequest{
		{}, {Id: id("/db")}, {Audience: []string{"bank"}}, {Id: id(""), Audience: []string{"bank"}},
		{Id: id("/spire/server"), Audience: []string{"bank"}}, {Id: &types.SPIFFEID{TrustDomain: "bank.example", Path: "/a"}, Audience: []string{"bank"}},
	} {
		_, err := client.MintJWTSVID(t.Context(), bad)
		wantCode(t, err, codes.InvalidArgument)
	}
	s.Signer.Fail(ca.ErrNotReady)
	_, err = client.MintJWTSVID(t.Context(), &svidv1.MintJWTSVIDRequest{Id: id("/db"), Audience: []string{"bank"}})
	wantCode(t, err, codes.Unavailable)
}
