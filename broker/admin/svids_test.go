package admin_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/tests/memcluster"
)

const legacy = "spiffe://acme.example/legacy"

func TestAnX509SVIDIsMinted(t *testing.T) {
	s := serve(t, memcluster.Options{})
	minted := read[client.X509SVID](t, s.ask(t, http.MethodPost, "/v1/svids/x509", client.MintX509{CSR: csr(t, legacy), TTL: client.Duration(10 * time.Minute)}), http.StatusOK)
	var chain []*x509.Certificate
	for rest := []byte(minted.Chain); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			t.Fatalf("the chain is %s", minted.Chain)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, cert)
	}
	id, _, err := x509svid.Verify(chain, s.X509Bundle())
	if err != nil || id.String() != legacy || minted.SPIFFEID != legacy || !minted.ExpiresAt.Equal(chain[0].NotAfter) || time.Until(minted.ExpiresAt) > 10*time.Minute {
		t.Errorf("minted %+v for %s, %v", minted, id, err)
	}
}

func TestAJWTSVIDIsMinted(t *testing.T) {
	s := serve(t, memcluster.Options{})
	minted := read[client.JWTSVID](t, s.ask(t, http.MethodPost, "/v1/svids/jwt", `{"spiffe_id":"spiffe://acme.example/legacy","audience":["db","mail"],"ttl":60}`), http.StatusOK)
	svid, err := jwtsvid.ParseAndValidate(minted.Token, s.JWTBundle(), []string{"mail"})
	if err != nil || svid.ID.String() != legacy || !svid.Expiry.Equal(minted.ExpiresAt) || time.Until(svid.Expiry) > time.Minute {
		t.Errorf("minted %+v, %v", minted, err)
	}
	if strings.Contains(s.log.String(), minted.Token[strings.LastIndex(minted.Token, "."):]) {
		t.Error("the token is in the log")
	}
}

func TestWhatIsNoRequestToSignIsRefused(t *testing.T) {
	s := serve(t, memcluster.Options{})
	good := csr(t, legacy)
	block := func(kind string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte{0x30, 0}}))
	}
	for name, c := range map[string]struct{ csr, says string }{
		"no PEM":         {"MIIB", "not PEM"},
		"another block":  {block("CERTIFICATE"), `"CERTIFICATE"`},
		"two of them":    {good + good, "goes on after"},
		"rubbish inside": {block("CERTIFICATE REQUEST"), "PKCS #10"},
		"another domain": {csr(t, "spiffe://bank.example/x"), "not in this trust domain"},
		"a reserved ID":  {csr(t, "spiffe://acme.example/spire/server"), "reserved"},
		"too long":       {string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: make([]byte, ca.MaxCSRBytes+1)})), "65536"},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, s.ask(t, http.MethodPost, "/v1/svids/x509", client.MintX509{CSR: c.csr}), http.StatusBadRequest, "invalid_argument", c.says)
		})
	}
	wantError(t, s.ask(t, http.MethodPost, "/v1/svids/x509", `{"ttl":1}`, wrong), http.StatusBadRequest, "invalid_argument", "csr is missing")
	for body, says := range map[string]string{
		`{"spiffe_id":"spiffe://acme.example/legacy"}`:               "audience is missing",
		`{"spiffe_id":"spiffe://acme.example/legacy","audience":[]}`: "audience",
		`{"spiffe_id":"legacy","audience":["db"]}`:                   "spiffe_id",
		`{"spiffe_id":"spiffe://bank.example/x","audience":["db"]}`:  "not in this trust domain",
	} {
		wantError(t, s.ask(t, http.MethodPost, "/v1/svids/jwt", body, wrong), http.StatusBadRequest, "invalid_argument", says)
	}
	s.Signer.Fail(ca.ErrNotReady)
	wantError(t, s.ask(t, http.MethodPost, "/v1/svids/x509", client.MintX509{CSR: good}), http.StatusServiceUnavailable, "unavailable", "try again")
}
