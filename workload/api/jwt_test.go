package api_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	pb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
	"github.com/concord-id/concord/tests/memdomain"
	"github.com/concord-id/concord/workload"
)

var errNotReady = fmt.Errorf("the intermediate ended: %w", ca.ErrNotReady)

// checkJWKS wants a standard JWK Set with exactly the authorities' keys, each
// with its kid (Workload API §6.2.2).
func checkJWKS(t *testing.T, text []byte, want []federation.JWTAuthority) {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != len(want) {
		t.Fatalf("%d keys, want %d", len(set.Keys), len(want))
	}
	for i, key := range set.Keys {
		if key.KeyID != want[i].ID || !key.Key.(interface{ Equal(crypto.PublicKey) bool }).Equal(want[i].Key) || len(key.Certificates) != 0 {
			t.Errorf("key %d is %s", i, key.KeyID)
		}
	}
}

func TestWA_18_WA_19_WA_20_Tokens(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, e *endpoint) {
		same := memdomain.Selectors("x")
		e.Put(workload.Entry{SPIFFEID: e.ID("/a"), Selectors: same, Hint: "in"})
		time.Sleep(time.Second)
		e.Put(workload.Entry{SPIFFEID: e.ID("/b"), Selectors: same, Hint: "out"})
		e.is("x")
		all, err := e.client.FetchJWTSVID(header(t), &pb.JWTSVIDRequest{Audience: []string{"aud", "other"}})
		if err != nil || len(all.Svids) != 2 || all.Svids[0].SpiffeId != "spiffe://acme.example/a" || all.Svids[1].Hint != "out" {
			t.Fatalf("%v %v", all, err)
		}
		one, err := e.client.FetchJWTSVID(header(t), &pb.JWTSVIDRequest{Audience: []string{"aud"}, SpiffeId: "spiffe://acme.example/b"})
		if err != nil || len(one.Svids) != 1 || one.Svids[0].SpiffeId != "spiffe://acme.example/b" {
			t.Fatalf("%v %v", one, err)
		}
	})
}

func TestWA_24_WA_25_ValidateJWTSVID(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, e *endpoint) {
		bank, corp := memdomain.New(t, "bank.example"), memdomain.New(t, "corp.example")
		e.SetBundle(bank.Bundle())
		e.SetBundle(corp.Bundle())
		e.Put(workload.Entry{SPIFFEID: e.ID("/a"), FederatesWith: []spiffeid.TrustDomain{bankDomain}})
		e.is("/a")
		token := func(d *memdomain.Domain, path string, audience ...string) string {
			t.Helper()
			svid, err := d.JWTSVID(ca.JWTRequest{ID: d.ID(path), Audience: audience, TTL: 5 * time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			return svid.Token
		}
		validate := func(audience, svid string) (*pb.ValidateJWTSVIDResponse, error) {
			return e.client.ValidateJWTSVID(header(t), &pb.ValidateJWTSVIDRequest{Audience: audience, Svid: svid})
		}
		for name, svid := range map[string]string{
			"own":              token(e.Domain, "/b", "aud"),
			"own, of two":      token(e.Domain, "/b", "other", "aud"),
			"federated WA_26":  token(bank, "/b", "aud"),
			"a very long path": token(e.Domain, "/"+strings.Repeat("b", 1900), "aud"),
		} {
			got, err := validate("aud", svid)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			claims := got.Claims.AsMap()
			if got.SpiffeId != claims["sub"] || claims["exp"] == nil || claims["aud"] == nil || claims["iat"] == nil {
				t.Errorf("%s: %v", name, got)
			}
		}
		good := token(e.Domain, "/b", "aud")
		parts := strings.Split(good, ".")
		for name, svid := range map[string]string{
			"WA_26 not federated with":     token(corp, "/b", "aud"),
			"WA_26 a domain nobody knows":  token(memdomain.New(t, "evil.example"), "/b", "aud"),
			"WA_26 FD_43 of another's key": forge(t, memdomain.New(t, "acme.example"), "/b"),
			"JS_10 another audience":       token(e.Domain, "/b", "other"),
			"JS_5 none":                    encode(`{"alg":"none"}`) + "." + parts[1] + ".",
			"JS_5 HS256":                   encode(`{"alg":"HS256"}`) + "." + parts[1] + "." + parts[2],
			"JS_3 five parts":              good + ".a.b",
			"JS_1 JSON":                    `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
			"changed":                      parts[0] + "." + encode(`{"sub":"spiffe://acme.example/x","aud":["aud"],"exp":9999999999}`) + "." + parts[2],
			"dots":                         strings.Repeat(".", 10000),
			"WS_22 a WIT":                  encode(`{"alg":"ES256","typ":"wit+jwt"}`) + "." + parts[1] + "." + parts[2],
		} {
			if got, err := validate("aud", svid); err == nil {
				t.Errorf("%s: %v", name, got)
			} else {
				wantCode(t, err, codes.InvalidArgument)
			}
		}
		time.Sleep(6 * time.Minute)
		_, err := validate("aud", good) // JS_13
		wantCode(t, err, codes.InvalidArgument)
	})
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// forge is a token that says it is of a domain and is signed by another one's
// key of the same name.
func forge(t *testing.T, impostor *memdomain.Domain, path string) string {
	t.Helper()
	svid, err := impostor.JWTSVID(ca.JWTRequest{ID: impostor.ID(path), Audience: []string{"aud"}, TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return svid.Token
}
