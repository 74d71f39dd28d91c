package federation_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/concord-id/concord/federation"
)

// What a canonical document is, member by member.
func TestDocument(t *testing.T) {
	b := sample(t)
	p, err := federation.Publish(b)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
		All  map[string]any   `json:"-"`
	}
	for _, into := range []any{&set, &set.All} {
		if err := json.Unmarshal(p.Document, into); err != nil {
			t.Fatal(err)
		}
	}
	of := func(use string) (out []map[string]any) {
		for _, k := range set.Keys {
			if k["use"] == use {
				out = append(out, k)
			}
		}
		return out
	}
	t.Run("TB_1 a JWK Set", func(t *testing.T) {
		var jwks jose.JSONWebKeySet
		if err := json.Unmarshal(p.Document, &jwks); err != nil || len(jwks.Keys) != 9 {
			t.Errorf("%d keys, %v", len(jwks.Keys), err)
		}
	})
	t.Run("TB_3 TB_7 sequence and hint", func(t *testing.T) {
		if !strings.HasSuffix(string(p.Document), `],"spiffe_sequence":18446744073709551615,"spiffe_refresh_hint":60}`) {
			t.Errorf("%s", p.Document)
		}
	})
	t.Run("TB_13 defined members only", func(t *testing.T) {
		for name := range set.All {
			if !slices.Contains([]string{"keys", "spiffe_sequence", "spiffe_refresh_hint"}, name) {
				t.Errorf("member %q", name)
			}
		}
		for _, k := range set.Keys {
			for name := range k {
				if !slices.Contains([]string{"kty", "use", "kid", "crv", "x", "y", "n", "e", "x5c"}, name) {
					t.Errorf("member %q of %v", name, k)
				}
			}
		}
	})
	t.Run("TB_14 TB_15 kty and use on each", func(t *testing.T) {
		if len(of("x509-svid"))+len(of("jwt-svid")) != len(set.Keys) {
			t.Errorf("%v", set.Keys)
		}
		for _, k := range set.Keys {
			if kty := k["kty"]; kty != "EC" && kty != "RSA" && kty != "OKP" {
				t.Errorf("kty %v", kty)
			}
		}
	})
	t.Run("XS_24 XS_25 XS_26 XS_27 one certificate per CA, no kid", func(t *testing.T) {
		if n := len(of("x509-svid")); n != len(b.X509) {
			t.Errorf("%d elements for %d CAs", n, len(b.X509))
		}
		for _, k := range of("x509-svid") {
			chain, _ := k["x5c"].([]any)
			if len(chain) != 1 || k["kid"] != nil {
				t.Fatalf("%v", k)
			}
			if _, err := base64.StdEncoding.Strict().DecodeString(chain[0].(string)); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("JS_17 JS_18 one element with kid per JWT key", func(t *testing.T) {
		for i, k := range of("jwt-svid") {
			if k["kid"] != p.Bundle.JWT[i].ID || k["x5c"] != nil {
				t.Errorf("%v", k)
			}
		}
		if n := len(of("jwt-svid")); n != len(b.JWT) {
			t.Errorf("%d elements for %d keys", n, len(b.JWT))
		}
	})
	t.Run("FD_13 UTF-8", func(t *testing.T) {
		if !utf8.Valid(p.Document) {
			t.Error("not UTF-8")
		}
	})
	t.Run("WA_23 the JWK Set has the JWT keys only", func(t *testing.T) {
		var jwks jose.JSONWebKeySet
		if err := json.Unmarshal(p.JWKS, &jwks); err != nil || len(jwks.Keys) != len(b.JWT) {
			t.Fatalf("%d keys, %v", len(jwks.Keys), err)
		}
		for _, k := range jwks.Keys {
			if k.KeyID == "" || k.Use != "" || !k.Valid() || !k.IsPublic() {
				t.Errorf("%+v", k)
			}
		}
	})
	t.Run("TB_9 an empty bundle has keys", func(t *testing.T) {
		empty, err := federation.Publish(&federation.Bundle{TrustDomain: bank})
		if err != nil || string(empty.Document) != `{"keys":[]}` || string(empty.JWKS) != `{"keys":[]}` {
			t.Errorf("%+v, %v", empty, err)
		}
	})
}
