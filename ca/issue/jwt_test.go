package issue_test

import (
	"crypto"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/ca/issue"
)

func jwtKeys(set map[string]crypto.PublicKey) ca.JWTKeys {
	return func(td spiffeid.TrustDomain) (iter.Seq2[string, crypto.PublicKey], bool) {
		return maps.All(set), td == acme
	}
}

// jwtIssuer signs by a fresh JWT authority of kind kt, which is returned.
func jwtIssuer(t testing.TB, kt ca.KeyType, now time.Time) (*issue.Issuer, ca.Authority) {
	t.Helper()
	d := domainOf(kt)
	a, err := d.NewAuthority(ca.JWT, 90*day, now)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := d.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	key, err := issue.NewJWTKey(acme, a, signer)
	if err != nil {
		t.Fatal(err)
	}
	i := issue.New()
	i.SetJWT(key)
	return i, a
}

func TestTokensThatOthersVerify(t *testing.T) {
	for kt, alg := range map[ca.KeyType]string{ca.P256: "ES256", ca.P384: "ES384", ca.RSA2048: "RS256"} {
		t.Run(alg, func(t *testing.T) {
			now := time.Now() // go-spiffe's validator has no other clock
			i, a := jwtIssuer(t, kt, now)
			pub, err := a.PublicKey()
			if err != nil {
				t.Fatal(err)
			}
			bundle := jwtbundle.FromJWTAuthorities(acme, map[string]crypto.PublicKey{a.ID: pub})
			for range 50 { // r and s are sometimes shorter than they are long
				svid, err := i.JWTSVID(ca.JWTRequest{ID: web, Audience: []string{"spiffe://bank.example/api"}, TTL: time.Minute}, now)
				if err != nil {
					t.Fatal(err)
				}
				theirs, err := jwtsvid.ParseAndValidate(svid.Token, bundle, []string{"spiffe://bank.example/api"})
				if err != nil {
					t.Fatal(err)
				}
				ours, err := ca.VerifyJWTSVID(svid.Token, "spiffe://bank.example/api", published(t, pub, a.ID), now)
				if err != nil {
					t.Fatal(err)
				}
				if theirs.ID != web || ours.ID != web || !theirs.Expiry.Equal(svid.ExpiresAt) || ours.KeyID != a.ID {
					t.Fatalf("theirs %+v, ours %+v", theirs, ours)
				}
			}
		})
	}
}

func TestTokenProfile(t *testing.T) {
	i, a := jwtIssuer(t, ca.P256, began)
	svid, err := i.JWTSVID(ca.JWTRequest{ID: web, Audience: []string{"bank", "till"}, TTL: 5 * time.Minute}, began.Add(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(svid.Token, ".")
	header, payload := members(t, parts[0]), members(t, parts[1])
	for name, good := range map[string]bool{
		"JS_1 JS_3 compact, three parts": len(parts) == 3 && !strings.ContainsAny(svid.Token, "= \n{"),
		"JS_2 alg, kid and typ alone":    len(header) == 3,
		"JS_4 alg is of the nine":        header["alg"] == "ES256",
		"JS_6 typ is JWT":                header["typ"] == "JWT",
		"kid names the authority":        header["kid"] == a.ID && svid.AuthorityID == a.ID,
		"JS_8 sub is the SPIFFE ID":      payload["sub"] == web.String(),
		"JS_11 aud is what was asked":    slices.Equal(payload["aud"].([]any), []any{"bank", "till"}),
		"JS_12 exp is set":               payload["exp"] == float64(began.Unix()+300),
		"JS_20 and short":                svid.ExpiresAt.Sub(svid.IssuedAt) == 5*time.Minute,
		"iat is now":                     payload["iat"] == float64(began.Unix()),
		"nothing else is claimed":        len(payload) == 4,
	} {
		t.Run(name, func(t *testing.T) {
			if !good {
				t.Errorf("header %v, payload %v", header, payload)
			}
		})
	}
	one, err := i.JWTSVID(ca.JWTRequest{ID: web, Audience: []string{"bank"}, TTL: time.Minute}, began)
	if err != nil {
		t.Fatal(err)
	}
	if aud := members(t, strings.Split(one.Token, ".")[1])["aud"]; !slices.Equal(aud.([]any), []any{"bank"}) {
		t.Errorf("JS_21: one audience is %v, want an array as with two", aud)
	}
}

func members(t testing.TB, part string) map[string]any {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return out
}

func TestTokensThatAreNotMade(t *testing.T) {
	i, a := jwtIssuer(t, ca.P256, began)
	good := ca.JWTRequest{ID: web, Audience: []string{"bank"}, TTL: time.Minute}
	for name, change := range map[string]func(*ca.JWTRequest){
		"ID_26 another trust domain": func(r *ca.JWTRequest) { r.ID = spiffeid.RequireFromString("spiffe://bank.example/web") },
		"JS_9 no audience":           func(r *ca.JWTRequest) { r.Audience = nil },
		"JS_9 an empty audience":     func(r *ca.JWTRequest) { r.Audience = []string{""} },
		"JS_12 no end":               func(r *ca.JWTRequest) { r.TTL = 0 },
		"longer than is accepted":    func(r *ca.JWTRequest) { r.Audience = []string{strings.Repeat("\x01", ca.MaxAudienceBytes)} },
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			change(&r)
			if svid, err := i.JWTSVID(r, began); err == nil || svid.Token != "" {
				t.Errorf("got %+v, %v", svid, err)
			}
		})
	}
	long := good
	long.TTL = 365 * day
	if svid, err := i.JWTSVID(long, began); err != nil || !svid.ExpiresAt.Equal(a.NotAfter) {
		t.Errorf("a token ends at %s, its authority at %s: %v", svid.ExpiresAt, a.NotAfter, err)
	}
	if _, err := i.JWTSVID(good, a.NotAfter); err == nil {
		t.Error("a token was made past the authority's end")
	}
	if _, err := issue.NewJWTKey(acme, a, ecKey(t, elliptic.P256())); err == nil {
		t.Error("a key that is not the authority's was taken")
	}
}

func TestID_15_LongIDsInBothKinds(t *testing.T) {
	i, _ := ready(t, ca.P256)
	long := spiffeid.RequireFromString("spiffe://acme.example/" + strings.Repeat("x", 2048-len("spiffe://acme.example/")))
	if svid := x509SVID(t, i, ca.X509Request{ID: long, PublicKey: ecKey(t, elliptic.P256()).Public(), TTL: time.Hour}); chain(t, svid)[0].URIs[0].String() != long.String() {
		t.Error("the X.509-SVID has another ID")
	}
	token, err := i.JWTSVID(ca.JWTRequest{ID: long, Audience: []string{"bank"}, TTL: time.Minute}, began)
	if err != nil {
		t.Fatal(err)
	}
	if members(t, strings.Split(token.Token, ".")[1])["sub"] != long.String() {
		t.Error("the JWT-SVID has another ID")
	}
}

// FuzzAudience holds the hand-written claims against encoding/json.
func FuzzAudience(f *testing.F) {
	for _, s := range []string{"bank", `"`, `\`, `","exp":9,"x":["`, "\x00\x1f\x7f", "é\u2028", "<&>", "\xff"} {
		f.Add(s)
	}
	i, a := jwtIssuer(f, ca.P256, began)
	pub, err := a.PublicKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, audience string) {
		svid, err := i.JWTSVID(ca.JWTRequest{ID: web, Audience: []string{"first", audience}, TTL: time.Minute}, began)
		if err != nil {
			return
		}
		claims := members(t, strings.Split(svid.Token, ".")[1])
		if len(claims) != 4 || !slices.Equal(claims["aud"].([]any), []any{"first", audience}) {
			t.Errorf("for audience %q the claims are %v", audience, claims)
		}
		got, err := ca.VerifyJWTSVID(svid.Token, audience, published(t, pub, a.ID), began)
		if err != nil || got.Audience[1] != audience {
			t.Errorf("for audience %q: %+v, %v", audience, got, err)
		}
	})
}
