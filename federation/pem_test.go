package federation_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/concord-id/concord/federation"
)

func TestFD_30_PEMIsReadAsABundle(t *testing.T) {
	b := sample(t)
	text := append([]byte("# the bank's authorities\n"), b.PEM()...)
	back, err := federation.ParsePEM(bank, append(text, b.PEM()...)) // each of them twice
	if err != nil {
		t.Fatal(err)
	}
	if back.Sequenced || back.Hinted || len(back.JWT) > 0 || len(back.X509) != len(b.X509) {
		t.Errorf("read as %+v", back)
	}
	if !bytes.Equal(back.PEM(), b.PEM()) {
		t.Error("written again as something else")
	}
}

func TestPEMIsRefused(t *testing.T) {
	good := string((&federation.Bundle{X509: []*x509.Certificate{authority(t, "p256", bank)}}).PEM())
	leaf := (&federation.Bundle{X509: []*x509.Certificate{authority(t, "p256", bank, func(c *x509.Certificate) { c.IsCA = false })}}).PEM()
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, tc := range map[string]struct{ text, words string }{
		"empty":           {"", "no PEM block"},
		"a JSON bundle":   {`{"keys":[]}`, "no PEM block"},
		"a private key":   {good + block("EC PRIVATE KEY", []byte("secret")), "block 2 is a private key"},
		"a request":       {block("CERTIFICATE REQUEST", nil), `"CERTIFICATE REQUEST" and must be`},
		"not DER":         {good + block("CERTIFICATE", []byte("x")), "PEM block 2"},
		"damaged first":   {strings.Replace(good, "MI", "!!", 1) + good, "damaged"},
		"damaged last":    {good + good[:len(good)-10], "damaged"},
		"a leaf":          {good + string(leaf), "block 2: the certificate of"},
		"beyond the size": {strings.Repeat(" ", federation.MaxBundleBytes) + good, "the most is"},
	} {
		if _, err := federation.ParsePEM(bank, []byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.words) {
			t.Errorf("%s: %v, want %q", name, err, tc.words)
		}
	}
}
