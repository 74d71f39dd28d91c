package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/ca"
)

func mintX509() *cobra.Command {
	var m minted
	var dnsNames []string
	var kind string
	c := &cobra.Command{
		Use:   "x509 DIR",
		Short: "Mint an X.509-SVID and write it with its key and our bundle to a directory",
		Long: `Make a key here, have the node sign an X.509-SVID for it that no entry stands
for, and write svid.pem, svid.key (0600) and our bundle to a directory. The key
never leaves this host. Nobody renews what is minted: it is for what cannot use
the Workload API.`,
		Example: `  concord svid mint x509 /run/legacy --spiffe-id spiffe://acme.example/legacy --dns legacy.acme.example
  concord svid mint x509 . --spiffe-id spiffe://acme.example/legacy --ttl 10m --dry-run`,
		Args:              wantArgs("DIR"),
		ValidArgsFunction: arguments(files),
		RunE: func(c *cobra.Command, args []string) error {
			key, csr, err := newCSR(m.id, dnsNames, ca.KeyType(kind))
			if err != nil {
				return err
			}
			if m.dryRun {
				return m.wouldMint(c, args[0])
			}
			return m.mint(c, args[0], key, csr)
		},
	}
	m.bind(c)
	c.Flags().StringSliceVar(&dnsNames, "dns", nil, "DNS name in it; repeat for more")
	c.Flags().StringVar(&kind, "key-type", string(ca.P256), "kind of its key: ec-p256, ec-p384, rsa-2048 or rsa-4096")
	choices(c, "key-type", keyTypes()...)
	m.bindWrite(c)
	return c
}

// newCSR makes a key, and the request to sign an SVID for it.
func newCSR(id string, dnsNames []string, kind ca.KeyType) (key crypto.Signer, csr []byte, err error) {
	parsed, err := spiffeid.FromString(id)
	if err != nil {
		return nil, nil, misused("--spiffe-id %q: %v", id, err)
	}
	switch kind {
	case ca.P256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ca.P384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ca.RSA2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case ca.RSA4096:
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	default:
		err = usageError{kind.Validate()}
	}
	if err != nil {
		return nil, nil, err
	}
	csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{parsed.URL()}, DNSNames: dnsNames}, key)
	return key, csr, err
}

// wouldMint tells what a minted SVID would replace; the node is not asked to
// sign anything.
func (m *minted) wouldMint(c *cobra.Command, dir string) error {
	bundle, err := fetchBundle(c, &m.operator, nil)
	if err != nil {
		return err
	}
	return writeFiles(c, m.output, dir, []file{{name: keyName, mode: 0o600}, {name: chainName, mode: 0o644}, {name: bundleName(bundle.TrustDomain), mode: 0o644}}, true)
}

func (m *minted) mint(c *cobra.Command, dir string, key crypto.Signer, csr []byte) error {
	request := client.MintX509{CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), TTL: m.life()}
	var svid client.X509SVID
	if err := m.ask(c, http.MethodPost, client.Path("svids", "x509"), nil, request, &svid); err != nil {
		return err
	}
	bundle, err := fetchBundle(c, &m.operator, nil)
	if err != nil {
		return err
	}
	roots, err := bundlePEM(bundle)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return writeFiles(c, m.output, dir, []file{{keyName, text, 0o600}, {chainName, []byte(svid.Chain), 0o644}, {bundleName(bundle.TrustDomain), roots, 0o644}}, false)
}

func mintJWT() *cobra.Command {
	var m minted
	var audience []string
	c := &cobra.Command{
		Use:     "jwt",
		Short:   "Mint a JWT-SVID; prints the token alone",
		Example: "  concord svid mint jwt --spiffe-id spiffe://acme.example/legacy --audience spiffe://bank.example/ledger",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if m.id == "" || len(audience) == 0 {
				return misused("give --spiffe-id and --audience: who the token speaks for, and whom it is for")
			}
			var svid client.JWTSVID
			err := m.ask(c, http.MethodPost, client.Path("svids", "jwt"), nil, client.MintJWT{SPIFFEID: m.id, Audience: audience, TTL: m.life()}, &svid)
			if err != nil {
				return err
			}
			return m.print(c, svid, func(w io.Writer) { fmt.Fprintln(w, svid.Token) })
		},
	}
	m.bind(c)
	c.Flags().StringArrayVar(&audience, "audience", nil, "whom the token is for; repeat for more")
	m.bindRead(c)
	return c
}
