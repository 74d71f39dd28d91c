package ca_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/concord-id/concord/ca"
)

func TestJWTSVIDsThatAreValid(t *testing.T) {
	key := es256(t, "k1")
	held := bundles{acme: {es256(t, "k0"), rs256(t, "r0"), key}}
	for name, token := range map[string]string{
		"as we make them":                 key.token(t, key.header(), claims()),
		"JS_7 without kid":                key.token(t, `{"alg":"ES256"}`, claims()),
		"JS_6 without typ":                key.token(t, `{"alg":"ES256","kid":"k1"}`, claims()),
		"JS_6 typ JOSE":                   key.token(t, `{"alg":"ES256","kid":"k1","typ":"JOSE"}`, claims()),
		"JS_10 audience as a string":      key.token(t, key.header(), claims("aud", `"bank"`)),
		"JS_10 one of several audiences":  key.token(t, key.header(), claims("aud", `["x","bank","y"]`)),
		"JS_13 ended a moment ago":        key.token(t, key.header(), claims("exp", fmt.Sprint(began.Add(-ca.JWTLeeway+time.Second).Unix()))),
		"JS_14 fractional exp":            key.token(t, key.header(), claims("exp", fmt.Sprintf("%d.5", began.Unix()+1))),
		"JS_14 exp with an exponent":      key.token(t, key.header(), claims("exp", "2.0e9")),
		"JS_14 nbf now":                   key.token(t, key.header(), claims("nbf", fmt.Sprint(began.Unix()))),
		"JS_14 nbf within the leeway":     key.token(t, key.header(), claims("nbf", fmt.Sprint(began.Add(ca.JWTLeeway).Unix()))),
		"no iat":                          key.token(t, key.header(), claims("iat", "")),
		"claims that nobody knows":        key.token(t, key.header(), claims("x", `{"a":[1,null,true,{"b":"c"}]}`)),
		"header members that nobody asks": key.token(t, `{"alg":"ES256","kid":"k1","x5t":"abc","jku":"https://evil.example"}`, claims()),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ca.VerifyJWTSVID(token, "bank", held.keys, began)
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != web || got.KeyID != "k1" || got.All["sub"] != "spiffe://acme.example/web" {
				t.Errorf("claims %+v", got)
			}
		})
	}
}

func TestJWTSVIDsThatAreRefused(t *testing.T) {
	key, rsaKey := es256(t, "k1"), rs256(t, "r1")
	held := bundles{acme: {key, rsaKey}, bank: {es256(t, "k1")}}
	good := key.token(t, key.header(), claims())
	parts := strings.Split(good, ".")
	header := func(h string) string { return key.token(t, h, claims()) }
	claim := func(changes ...string) string { return key.token(t, key.header(), claims(changes...)) }
	at := func(d time.Duration) string { return fmt.Sprint(began.Add(d).Unix()) }

	for name, token := range map[string]string{
		"JS_1 JSON serialization":            fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
		"JS_3 JWE, five parts":               good + ".x.y",
		"JS_3 two parts":                     parts[0] + "." + parts[1],
		"nothing":                            "",
		"only dots":                          "..",
		"no signature":                       parts[0] + "." + parts[1] + ".",
		"no claims":                          parts[0] + ".." + parts[2],
		"another signature":                  parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
		"a short signature":                  parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-4],
		"a longer signature":                 good + "AAAA",
		"padding":                            good + "=",
		"a line end":                         good[:len(good)-4] + "\n" + good[len(good)-4:],
		"a line end after it":                good + "\n",
		"a space before it":                  " " + good,
		"the standard alphabet":              parts[0] + "." + parts[1] + "." + strings.Repeat("+", len(parts[2])),
		"JS_5 none":                          b64(`{"alg":"none"}`) + "." + parts[1] + ".",
		"JS_5 none with a signature":         header(`{"alg":"none","kid":"k1"}`),
		"JS_5 HS256 with the public key":     hmacToken(t, key),
		"JS_5 EdDSA":                         header(`{"alg":"EdDSA","kid":"k1"}`),
		"JS_5 ES256K":                        header(`{"alg":"ES256K","kid":"k1"}`),
		"JS_5 es256":                         header(`{"alg":"es256","kid":"k1"}`),
		"JS_5 no alg":                        header(`{"kid":"k1"}`),
		"JS_5 alg is no string":              header(`{"alg":256,"kid":"k1"}`),
		"JS_5 ES384 for a P-256 key":         header(`{"alg":"ES384","kid":"k1"}`),
		"JS_5 RS256 for an EC key":           header(`{"alg":"RS256","kid":"k1"}`),
		"JS_5 ES256 for an RSA key":          rsaKey.token(t, `{"alg":"ES256","kid":"r1"}`, claims()),
		"JS_5 PS256 over an RS256 signature": rsaKey.token(t, `{"alg":"PS256","kid":"r1"}`, claims()),
		"JS_6 a WIT":                         header(`{"alg":"ES256","kid":"k1","typ":"wit+jwt"}`),
		"JS_6 an access token":               header(`{"alg":"ES256","kid":"k1","typ":"at+jwt"}`),
		"JS_6 typ is null":                   header(`{"alg":"ES256","kid":"k1","typ":null}`),
		"JS_6 typ is a list":                 header(`{"alg":"ES256","kid":"k1","typ":["JWT"]}`),
		"an unknown kid":                     header(`{"alg":"ES256","kid":"k2"}`),
		"kid in other case":                  header(`{"alg":"ES256","kid":"K1"}`),
		"an empty kid":                       header(`{"alg":"ES256","kid":""}`),
		"kid is a number":                    header(`{"alg":"ES256","kid":1}`),
		"kid is null":                        header(`{"alg":"ES256","kid":null}`),
		"a long kid":                         header(`{"alg":"ES256","kid":"` + strings.Repeat("k", 2000) + `"}`),
		"JS_14 crit":                         header(`{"alg":"ES256","kid":"k1","crit":["b64"],"b64":false}`),
		"JS_14 crit is empty":                header(`{"alg":"ES256","kid":"k1","crit":[]}`),
		"header twice alg":                   header(`{"alg":"none","alg":"ES256","kid":"k1"}`),
		"header is a list":                   header(`["ES256"]`),
		"header is not JSON":                 header(`{"alg":"ES256"`),
		"header and more":                    header(`{"alg":"ES256","kid":"k1"} {}`),
		"header is not UTF-8":                header("{\"alg\":\"ES256\",\"kid\":\"k1\",\"x\":\"\xff\"}"),
		"JS_8 no sub":                        claim("sub", ""),
		"JS_8 sub is a list":                 claim("sub", `["spiffe://acme.example/web"]`),
		"JS_8 sub is no SPIFFE ID":           claim("sub", `"https://acme.example/web"`),
		"ID_7 sub in upper case":             claim("sub", `"SPIFFE://ACME.EXAMPLE/web"`),
		"ID_12 sub with a dot segment":       claim("sub", `"spiffe://acme.example/x/../web"`),
		"ID_3 sub with a query":              claim("sub", `"spiffe://acme.example/web?"`),
		"ID_16 a long sub":                   claim("sub", `"spiffe://acme.example/`+strings.Repeat("a", 2048)+`"`),
		"WA_26 no bundle of sub's domain":    claim("sub", `"spiffe://other.example/web"`),
		"FD_43 sub of another domain":        claim("sub", `"spiffe://bank.example/web"`),
		"JS_10 no aud":                       claim("aud", ""),
		"JS_10 another aud":                  claim("aud", `["acme"]`),
		"JS_10 aud in other case":            claim("aud", `["Bank"]`),
		"JS_10 an empty list":                claim("aud", `[]`),
		"JS_10 an empty string":              claim("aud", `""`),
		"JS_10 one is empty":                 claim("aud", `["bank",""]`),
		"JS_10 one is a number":              claim("aud", `["bank",1]`),
		"JS_10 aud is an object":             claim("aud", `{"bank":true}`),
		"JS_13 no exp":                       claim("exp", ""),
		"JS_13 ended":                        claim("exp", at(-ca.JWTLeeway)),
		"JS_13 ended long ago":               claim("exp", "0"),
		"JS_13 exp is null":                  claim("exp", "null"),
		"JS_14 exp is a string":              claim("exp", `"`+at(time.Hour)+`"`),
		"JS_14 exp is negative":              claim("exp", "-1"),
		"JS_14 exp past all time":            claim("exp", "1e300"),
		"JS_14 exp past all numbers":         claim("exp", "1e999"),
		"JS_14 nbf to come":                  claim("nbf", at(ca.JWTLeeway+time.Second)),
		"JS_14 nbf is a string":              claim("nbf", `"0"`),
		"iat to come":                        claim("iat", at(ca.JWTLeeway+time.Second)),
		"iat is a string":                    claim("iat", `"now"`),
		"twice exp":                          key.token(t, key.header(), `{"exp":1,`+claims()[1:]),
		"twice aud, once escaped":            key.token(t, key.header(), `{"\u0061ud":"bank",`+claims()[1:]),
		"twice in a claim's own members":     claim("x", `{"a":1,"a":2}`),
		"claims and more":                    key.token(t, key.header(), claims()+"{}"),
		"claims are a string":                key.token(t, key.header(), `"claims"`),
		"claims are empty":                   key.token(t, key.header(), `{}`),
		"claims nested too deep":             claim("x", strings.Repeat("[", 20)+strings.Repeat("]", 20)),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ca.VerifyJWTSVID(token, "bank", held.keys, began)
			if err == nil {
				t.Fatalf("accepted: %+v", got)
			}
			if got.All != nil || !got.ID.IsZero() {
				t.Error("claims of a refused token were returned")
			}
			if len(token) > 40 && strings.Contains(err.Error(), token[len(token)-30:]) {
				t.Errorf("the error holds the token: %v", err)
			}
		})
	}
	if _, err := ca.VerifyJWTSVID(good, "", held.keys, began); err == nil {
		t.Error("a token was accepted for no audience")
	}
}

// hmacToken is signed with the bytes of key's public half as a shared secret.
func hmacToken(t *testing.T, key signing) string {
	secret, err := x509.MarshalPKIXPublicKey(key.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	signed := b64(`{"alg":"HS256","kid":"k1"}`) + "." + b64(claims())
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestJS_4_EveryAlgorithmOfTheSpecIsVerified(t *testing.T) {
	p256, p384, p521, rsaKey := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521()), rs256(t, "r").key
	for _, test := range []signing{
		{"k", p256, crypto.SHA256, "ES256", false},
		{"k", p384, crypto.SHA384, "ES384", false},
		{"k", p521, crypto.SHA512, "ES512", false},
		{"k", rsaKey, crypto.SHA256, "RS256", false},
		{"k", rsaKey, crypto.SHA384, "RS384", false},
		{"k", rsaKey, crypto.SHA512, "RS512", false},
		{"k", rsaKey, crypto.SHA256, "PS256", true},
		{"k", rsaKey, crypto.SHA384, "PS384", true},
		{"k", rsaKey, crypto.SHA512, "PS512", true},
	} {
		t.Run(test.alg, func(t *testing.T) {
			held := bundles{acme: {test}}
			if _, err := ca.VerifyJWTSVID(test.token(t, test.header(), claims()), "bank", held.keys, began); err != nil {
				t.Error(err)
			}
			// The same by a signer that is not ours.
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(test.alg), Key: jose.JSONWebKey{Key: test.key, KeyID: "k"}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			token, err := jwt.Signed(signer).Claims(jwt.Claims{Subject: web.String(), Audience: jwt.Audience{"bank"}, Expiry: jwt.NewNumericDate(began.Add(time.Minute))}).Serialize()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ca.VerifyJWTSVID(token, "bank", held.keys, began); err != nil {
				t.Errorf("a token of go-jose's: %v", err)
			}
		})
	}
}

// RELIABILITY §1 row 7.
func TestAHugeTokenCostsNothing(t *testing.T) {
	key := es256(t, "k1")
	held := bundles{acme: {key}}
	for name, token := range map[string]string{
		"10 MB of dots":        strings.Repeat(".", 10<<20),
		"10 MB of header":      strings.Repeat("A", 10<<20) + ".e30.AA",
		"16 KiB of dots":       strings.Repeat(".", ca.MaxTokenBytes),
		"12 KiB of brackets":   b64(strings.Repeat("[", 12000)) + ".e30.AA",
		"12 KiB of objects":    b64(strings.Repeat(`{"a":`, 2400)+"1"+strings.Repeat("}", 2400)) + ".e30.AA",
		"12 KiB of a number":   key.token(t, key.header(), claims("exp", strings.Repeat("9", 11000))),
		"20 KiB of a claim":    key.token(t, key.header(), claims("note", `"`+strings.Repeat("x", 20<<10)+`"`)),
		"many members, a crit": b64(`{"alg":"ES256","crit":["`+strings.Repeat(`a","`, 2000)+`"]}`) + ".e30.AA",
	} {
		took := quickest(func() {
			if _, err := ca.VerifyJWTSVID(token, "bank", held.keys, began); err == nil {
				t.Errorf("%s: accepted", name)
			}
		})
		if took > 50*time.Millisecond {
			t.Errorf("%s: took %s", name, took)
		}
	}
	dots := strings.Repeat(".", 10<<20)
	if n := testing.AllocsPerRun(10, func() { ca.VerifyJWTSVID(dots, "bank", held.keys, began) }); n > 10 {
		t.Errorf("10 MB of dots cost %.0f allocations", n)
	}
}

// quickest is the least of ten times that f takes: the others tell of the
// machine that the test runs on.
func quickest(f func()) time.Duration {
	least := time.Hour
	for range 10 {
		start := time.Now()
		f()
		least = min(least, time.Since(start))
	}
	return least
}

func TestJS_7_ATokenWithoutKIDTriesABoundedNumberOfKeys(t *testing.T) {
	key := es256(t, "k1")
	var many []signing
	for i := range 65 {
		many = append(many, signing{kid: fmt.Sprint(i), key: ecKey(t, elliptic.P256())})
	}
	token := key.token(t, `{"alg":"ES256"}`, claims())
	if _, err := ca.VerifyJWTSVID(token, "bank", bundles{acme: append(many[:40:40], key)}.keys, began); err != nil {
		t.Errorf("among 41 keys: %v", err)
	}
	if _, err := ca.VerifyJWTSVID(token, "bank", bundles{acme: append(many, key)}.keys, began); err == nil || !strings.Contains(err.Error(), "no kid") {
		t.Errorf("among 66 keys: %v, want an error that asks for a kid", err)
	}
	withKID := key.token(t, key.header(), claims())
	if _, err := ca.VerifyJWTSVID(withKID, "bank", bundles{acme: append(many, key)}.keys, began); err != nil {
		t.Errorf("with kid, among 66 keys: %v", err)
	}
}
