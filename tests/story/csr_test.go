package story

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"testing"

	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/world"
)

// requests for certificates that are refused before anything is signed.
func malformedRequests(t *testing.T) map[string][]byte {
	t.Helper()
	key := world.Must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	make := func(key any, uris ...string) []byte {
		t.Helper()
		template := &x509.CertificateRequest{}
		for _, text := range uris {
			template.URIs = append(template.URIs, world.Must[*url.URL](t)(url.Parse(text)))
		}
		return world.Must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, template, key))
	}
	good := make(key, "spiffe://acme.example/db")
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"nothing":                           nil,
		"noise":                             []byte("\x30\x82not a request"),
		"a request that is cut":             good[:len(good)/2],
		"bytes behind a request":            append(bytes.Clone(good), 0),
		"a request of 70 KiB":               append(bytes.Clone(good), bytes.Repeat([]byte{0}, 70<<10)...),
		"a forged signature":                forged,
		"no SPIFFE ID":                      make(key),
		"XS_1 two SPIFFE IDs":               make(key, "spiffe://acme.example/db", "spiffe://acme.example/web"),
		"ID_26 a foreign trust domain":      make(key, "spiffe://bank.example/db"),
		"XS_3 the trust domain itself":      make(key, "spiffe://acme.example"),
		"ID_7 an upper-case domain":         make(key, "spiffe://Acme.example/db"),
		"ID_13 a trailing slash":            make(key, "spiffe://acme.example/db/"),
		"ID_11 an escape":                   make(key, "spiffe://acme.example/%64b"),
		"a reserved path":                   make(key, "spiffe://acme.example/spire/server"),
		"an RSA key of 1024 bits":           make(weakKey(t), "spiffe://acme.example/db"),
		"an Ed25519 key":                    make(ed, "spiffe://acme.example/db"),
		"a key on a curve that is too weak": make(world.Must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), "spiffe://acme.example/db"),
	}
}

// weakKey is an RSA key that crypto/rsa makes for nobody any more.
func weakKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode([]byte(weakPEM))
	return world.Must[*rsa.PrivateKey](t)(x509.ParsePKCS1PrivateKey(block.Bytes))
}

const weakPEM = `-----BEGIN RSA PRIVATE KEY-----
MIICXAIBAAKBgQDJ5g8dLeFEB8Oz21Z4QAOHa+B09lVWztPpE1OYI3+oWFnOTSya
HVxy5gKnEv+ySMnV3q2zs6g6eAghe2gpQAC9CSXHHQva8NaQLzj7Io6A/O2SQe1s
4afgN8Lk37gPrDms5rcDbcrchIoFh1VEvP/8mvLqKn1Am7erzjLKl+7wmQIDAQAB
AoGAS5vzZwsKhG6f9JgcjtXyPGHC4ipqFSNJqsyJDr2kjgfgQekW3fRG7eSDc8wi
o8Ksi4Jj7JtIUfUnnlpXzLLiUz5QVPMHpi+bsKdNwbFYIjJUkiqR82h/02CnGfSi
2EplXbUOqsNcyXAlgv81n/HFfsw++3OlZ0kKKWDIstjTQoECQQDs3KSn85ZIEzp5
ByZWY1Eys8sbK3Fs9SKY1VLM+LmJTePLnvUwFIc7DRnZRXybzYDdQEazbk/4cgGP
LWuikbfxAkEA2jY4lmd0ozxupB0wYLa2TzrI1vY9ejFWzPl0iUtJGyIGJEeMYP5T
5oWzpjYXjhwVMHgCyNDDco5kzKCCmuMrKQJAIGaqa4MpyqA+vnGY7/ZUFDB+FzBh
Krt5yRhdZEad8sdh4ufSuIoGWbCYGZ2kxxdcimeRhFgRvnWx+ukGsU1nsQJAEvO6
nnWFz9ej1GUkmoHD+8WjQ+hHFqHKZCsWUAZV5yFhXy1Hp/Tu3IqoO7te+FzACmGh
/EcFcqGjZ5JZRZKNYQJBANApcLq63UsZfv4QFb8bFHe3ew8YqFP3NpBQ1fnkr9iE
/7fRgIydNwo/tzydqwcZTBGj+jwcgd2244NxFENJOHI=
-----END RSA PRIVATE KEY-----
`

func TestMalformedCertificateRequestsAreRefused(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example"), world.Soon(t)
	svids := svidv1.NewSVIDClient(n.Dial("admin.sock"))
	for name, csr := range malformedRequests(t) {
		t.Run(name, func(t *testing.T) {
			_, err := svids.MintX509SVID(ctx, &svidv1.MintX509SVIDRequest{Csr: csr})
			if status.Code(err) != codes.InvalidArgument || len(status.Convert(err).Message()) < 20 {
				t.Errorf("gRPC says %v", err)
			}
			block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})
			words := world.Refused(t, n.Admin().Try(http.MethodPost, client.Path("svids", "x509"), nil, client.MintX509{CSR: string(block)}, nil), "invalid_argument")
			if len(words) < 20 {
				t.Errorf("REST says %q", words)
			}
		})
	}
}
