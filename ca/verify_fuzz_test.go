package ca_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
)

// FuzzVerifyJWTSVID changes good tokens: whatever is accepted says exactly
// what the signed one said.
func FuzzVerifyJWTSVID(f *testing.F) {
	key := es256(f, "k1")
	held := bundles{acme: {key}}
	good := key.token(f, key.header(), claims())
	f.Add(good)
	f.Add(key.token(f, `{"alg":"ES256"}`, claims("aud", `"bank"`)))
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add(good + "=")
	f.Add(strings.Repeat(".", 1000))
	f.Add(`{"payload":"e30","signatures":[]}`)
	f.Fuzz(func(t *testing.T, token string) {
		got, err := ca.VerifyJWTSVID(token, "bank", held.keys, began)
		if err != nil {
			if err.Error() == "" || len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if got.ID != web || !slices.Contains(got.Audience, "bank") || got.KeyID != "k1" || got.ExpiresAt.Before(began) {
			t.Errorf("accepted with claims %+v", got)
		}
	})
}

// FuzzJWTClaims signs any bytes as claims: what is accepted means the same to
// encoding/json, which is more lenient.
func FuzzJWTClaims(f *testing.F) {
	key := es256(f, "k1")
	held := bundles{acme: {key}}
	f.Add([]byte(claims()))
	f.Add([]byte(claims("aud", `"bank"`, "nbf", "1", "x", `[{"y":null}]`)))
	f.Add([]byte(`{"aud":"bank","AUD":"x","exp":4e9,"sub":"spiffe://acme.example/\u0061"}`))
	f.Add([]byte(`{"aud":"bank","exp":4e9,"sub":"spiffe://acme.example/a","sub":"spiffe://acme.example/b"}`))
	f.Add([]byte(`{"aud":"bank","exp":4e9,"sub":"spiffe://acme.example/a"}x`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 8<<10 {
			return
		}
		got, err := ca.VerifyJWTSVID(key.token(t, key.header(), string(payload)), "bank", held.keys, began)
		if err != nil {
			return
		}
		var lenient map[string]any
		if err := json.Unmarshal(payload, &lenient); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if len(lenient) != len(got.All) {
			t.Errorf("%d claims, encoding/json sees %d", len(got.All), len(lenient))
		}
		if id, err := spiffeid.FromString(lenient["sub"].(string)); err != nil || id != got.ID {
			t.Errorf("subject %s, encoding/json sees %v", got.ID, lenient["sub"])
		}
		if !slices.Contains(got.Audience, "bank") || !got.ExpiresAt.After(began.Add(-ca.JWTLeeway)) {
			t.Errorf("accepted with claims %+v", got)
		}
	})
}
