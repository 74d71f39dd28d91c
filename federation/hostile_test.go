package federation_test

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/federation"
)

// members are the public members of the named key's JWK, as Marshal writes them.
func members(t testing.TB, key string) string {
	t.Helper()
	b := &federation.Bundle{TrustDomain: bank, JWT: []federation.JWTAuthority{{ID: "k", Key: keys()[key].Public()}}}
	doc, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(doc), `"kid":"k",`)
	return strings.TrimSuffix(after, `}]}`)
}

func b64(cert *x509.Certificate) string { return base64.StdEncoding.EncodeToString(cert.Raw) }

// root is an x509-svid element without a key of its own.
func root(kty string, x5c string) string {
	return fmt.Sprintf(`{"kty":%q,"use":"x509-svid","x5c":%s}`, kty, x5c)
}

func jwtKey(kty, kid, members string) string {
	return fmt.Sprintf(`{"kty":%q,"use":"jwt-svid","kid":%q,%s}`, kty, kid, members)
}

func doc(elements ...string) string { return `{"keys":[` + strings.Join(elements, ",") + `]}` }

// hostile is a document and what becomes of it.
type hostile struct {
	name     string
	document string
	refused  string // words of the error; "" if the document is read
	x509     int
	jwt      int
	ignored  []string // words of each ignored element
}

func hostileDocuments(t testing.TB) []hostile {
	ca := authority(t, "p256", bank)
	good := root("EC", `["`+b64(ca)+`"]`)
	ec, rsa := members(t, "p256"), members(t, "rsa2048")
	goodJWT := jwtKey("EC", "a", ec)
	cert := func(key string, change func(*x509.Certificate)) string {
		return `["` + b64(authority(t, key, bank, change)) + `"]`
	}
	same := func(*x509.Certificate) {}
	long := strings.Repeat("a", 100)
	return []hostile{
		// What a bundle may be.
		{name: "TB_2 only keys", document: doc(good, goodJWT), x509: 1, jwt: 1},
		{name: "TB_12 empty keys are a revocation", document: `{"keys":[]}`},
		{name: "TB_12 only unknown keys are a revocation", document: doc(`{"kty":"AKP","use":"x509-svid"}`), ignored: []string{`kty "AKP"`}},
		{name: "unknown members of the set", document: `{"x":{"y":[1,{"z":null}]},"keys":[` + good + `],"w":-1.5e+3}`, x509: 1},
		{name: "unknown members of a key", document: doc(`{"alg":"ES256","x5t":"?","key_ops":[],` + good[1:]), x509: 1},
		{name: "names that differ in case", document: `{"Keys":null,"keys":[],"KEYS":3}`},
		{name: "white space everywhere", document: " {\r\n\t\"keys\" : [ " + good + " ] } \n", x509: 1},
		{name: "escapes in names and values", document: doc(`{"k\u0074y":"\u0045C","use":"x509\u002dsvid","x5c":["` + strings.ReplaceAll(b64(ca), "/", `\/`) + `"]}`), x509: 1},
		{name: "line breaks in a certificate", document: doc(root("EC", `["`+b64(ca)[:64]+`\n`+b64(ca)[64:]+`"]`)), x509: 1},
		{name: "a pair of surrogates", document: doc(jwtKey("EC", "clef 🗝", ec)), jwt: 1},

		// Elements that are ignored, each alone.
		{name: "TB_10 missing kty", document: doc(`{"use":"x509-svid","x5c":["`+b64(ca)+`"]}`, good), x509: 1, ignored: []string{`kty ""`}},
		{name: "TB_10 kty in lower case", document: doc(strings.Replace(good, "EC", "ec", 1), goodJWT), jwt: 1, ignored: []string{`kty "ec"`}},
		{name: "TB_10 kty is a number", document: doc(`{"kty":1,"use":"jwt-svid"}`, goodJWT), jwt: 1, ignored: []string{"kty"}},
		{name: "TB_10 kty oct", document: doc(`{"kty":"oct","use":"jwt-svid","kid":"a","k":"c2VjcmV0"}`, goodJWT), jwt: 1, ignored: []string{`kty "oct"`}},
		{name: "TB_11 missing use", document: doc(`{"kty":"EC"}`, goodJWT), jwt: 1, ignored: []string{`use ""`}},
		{name: "TB_11 unknown use", document: doc(strings.Replace(goodJWT, "jwt-svid", "wit-svid", 1), good), x509: 1, ignored: []string{`use "wit-svid"`}},
		{name: "TB_11 use in other case", document: doc(strings.Replace(good, "x509-svid", "X509-SVID", 1), goodJWT), jwt: 1, ignored: []string{`use "X509-SVID"`}},
		{name: "TB_11 use is null", document: doc(`{"kty":"EC","use":null}`, good), x509: 1, ignored: []string{"use"}},
		{name: "TB_11 use with white space", document: doc(strings.Replace(good, "x509-svid", "x509-svid ", 1)), ignored: []string{"use"}},
		{name: "JS_19 use sig", document: doc(strings.Replace(goodJWT, "jwt-svid", "sig", 1), good), x509: 1, ignored: []string{`use "sig"`}},
		{name: "empty element", document: doc(`{}`, good), x509: 1, ignored: []string{"kty"}},
		{name: "XS_29 missing x5c", document: doc(`{"kty":"EC","use":"x509-svid",`+ec+`}`, good), x509: 1, ignored: []string{"no x5c"}},
		{name: "XS_29 null x5c", document: doc(root("EC", `null`), good), x509: 1, ignored: []string{"no x5c"}},
		{name: "XS_29 empty x5c", document: doc(root("EC", `[ ]`), good), x509: 1, ignored: []string{"x5c is empty"}},
		{name: "XS_29 empty certificate", document: doc(root("EC", `[""]`), good), x509: 1, ignored: []string{"x5c[0] is empty"}},
		{name: "XS_30 more certificates", document: doc(root("EC", `["`+b64(ca)+`","`+b64(authority(t, "p384", bank))+`","not one",5]`)), x509: 1},
		{name: "JS_18 no kid", document: doc(`{"kty":"EC","use":"jwt-svid",`+ec+`}`, good), x509: 1, ignored: []string{"no kid"}},
		{name: "JS_18 empty kid", document: doc(jwtKey("EC", "", ec), good), x509: 1, ignored: []string{"no kid"}},
		{name: "private EC key", document: doc(jwtKey("EC", "a", ec+`,"d":"AAAA"`), good), x509: 1, ignored: []string{`"d", a part of the private key`}},
		{name: "private RSA primes", document: doc(jwtKey("RSA", "a", rsa+`,"p":"AAAA","q":"AAAA"`), good), x509: 1, ignored: []string{"private key"}},
		{name: "private key beside a certificate", document: doc(`{"d":null,`+good[1:], goodJWT), jwt: 1, ignored: []string{"private key"}},
		{name: "unknown curve", document: doc(jwtKey("EC", "a", `"crv":"secp256k1","x":"AA","y":"AA"`), good), x509: 1, ignored: []string{`curve "secp256k1"`}},
		{name: "unknown Edwards curve", document: doc(jwtKey("OKP", "a", `"crv":"Ed448","x":"AA"`), good), x509: 1, ignored: []string{`curve "Ed448"`}},
		{name: "curve of another kty", document: doc(jwtKey("OKP", "a", ec), good), x509: 1, ignored: []string{`curve "P-256"`}},
		{name: "certificate on a weak curve", document: doc(root("EC", cert("p224", same)), good), x509: 1, ignored: []string{"curve P-224"}},
		{name: "weak RSA authority", document: doc(root("RSA", cert("rsa1024", same)), good), x509: 1, ignored: []string{"1024 bits"}},
		{name: "weak RSA key", document: doc(jwtKey("RSA", "a", rsaMembers(1024)), good), x509: 1, ignored: []string{"1024 bits"}},
		{name: "huge RSA key", document: doc(jwtKey("RSA", "a", rsaMembers(16384)), good), x509: 1, ignored: []string{"16384 bits"}},
		{name: "Ed25519 for tokens", document: doc(jwtKey("OKP", "a", edMembers()), good), x509: 1, ignored: []string{"Ed25519"}},
		{name: "Ed25519 authority", document: doc(root("OKP", cert("ed25519", same))), x509: 1},
		{name: "leaf as authority", document: doc(root("EC", cert("p384", func(c *x509.Certificate) { c.IsCA = false })), good), x509: 1, ignored: []string{"no CA certificate"}},
		{name: "certificate without basic constraints", document: doc(root("EC", cert("p384", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = false, false })), good), x509: 1, ignored: []string{"no CA certificate"}},
		{name: "CA that may not sign", document: doc(root("EC", cert("p384", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })), good), x509: 1, ignored: []string{"keyCertSign"}},
		{name: "the same certificate twice", document: doc(good, good), x509: 1, ignored: []string{"repeats"}},
		{name: "authority of another name is kept", document: doc(root("EC", `["`+b64(authority(t, "p384", acme))+`"]`)), x509: 1},
		{name: "ended authority is kept", document: doc(root("EC", cert("p384", func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Second) }))), x509: 1},

		// Sets that say nothing, or two things.
		{name: "TB_9 no keys", document: `{}`, refused: `"keys" is missing`},
		{name: "TB_9 null keys", document: `{"keys":null}`, refused: `byte 8: found 'n' instead of the array`},
		{name: "TB_9 keys is an object", document: `{"keys":{"0":` + good + `}}`, refused: "the array"},
		{name: "TB_9 keys is a string", document: `{"keys":"[]"}`, refused: "the array"},
		{name: "TB_9 an error message", document: `{"error":"not found"}`, refused: `"keys" is missing`},
		{name: "TB_9 keys in other case only", document: `{"Keys":[]}`, refused: `"keys" is missing`},
		{name: "nothing", document: ``, refused: "byte 0: the document ends"},
		{name: "white space only", document: " \n", refused: "byte 2: the document ends"},
		{name: "null", document: `null`, refused: "the object that a bundle is"},
		{name: "an array", document: `[` + good + `]`, refused: "the object that a bundle is"},
		{name: "a page", document: `<!doctype html>`, refused: "found '<'"},
		{name: "byte order mark", document: "\ufeff" + `{"keys":[]}`, refused: "byte 0"},
		{name: "keys twice", document: `{"keys":[],"keys":[` + good + `]}`, refused: `byte 11: member "keys" appears twice`},
		{name: "keys twice by an escape", document: `{"keys":[],"\u006beys":[]}`, refused: `"keys" appears twice`},
		{name: "use twice", document: doc(`{"use":"jwt-svid",` + good[1:]), refused: `keys[0]: member "use" appears twice`},
		{name: "a member twice far inside", document: `{"keys":[],"x":[{"a":{"b":1,"b":2}}]}`, refused: `"b" appears twice`},
		{name: "trailing bytes", document: `{"keys":[]}x`, refused: "byte 11: found 'x' after the end"},
		{name: "two documents", document: `{"keys":[]}{"keys":[` + good + `]}`, refused: "after the end"},
		{name: "trailing NUL", document: "{\"keys\":[]}\x00", refused: "after the end"},
		{name: "cut short", document: doc(good)[:40], refused: "the document ends"},
		{name: "invalid UTF-8", document: "{\"keys\":[],\"a\":\"\xff\"}", refused: "byte 16: not UTF-8"},
		{name: "invalid UTF-8 in an ignored key", document: doc("{\"kid\":\"\xc0\xaf\"}"), refused: "not UTF-8"},
		{name: "unpaired surrogate", document: doc(jwtKey("EC", "", ec), `{"kid":"\ud800"}`), refused: "keys[1]: unpaired surrogate"},
		{name: "surrogates the wrong way round", document: doc(`{"kid":"\udc00\ud800"}`), refused: "unpaired surrogate"},
		{name: "unknown escape", document: doc(`{"kid":"\x41"}`), refused: "unknown escape"},
		{name: "short escape", document: `{"\u12`, refused: "four hexadecimal digits"},
		{name: "raw newline in a string", document: "{\"keys\":[],\"a\":\"\n\"}", refused: "control character"},
		{name: "trailing comma", document: `{"keys":[],}`, refused: "the name of a member"},
		{name: "trailing comma in an array", document: `{"keys":[{},]}`, refused: "keys[1]"},
		{name: "missing comma", document: `{"keys":[]"a":1}`, refused: "',' or '}'"},
		{name: "missing colon", document: `{"keys" []}`, refused: "':'"},
		{name: "single quotes", document: `{'keys':[]}`, refused: `found '\''`},
		{name: "a comment", document: `{/* */"keys":[]}`, refused: "found '/'"},
		{name: "NaN", document: `{"keys":[],"a":NaN}`, refused: "a value"},
		{name: "deep arrays", document: `{"keys":[],"a":` + strings.Repeat("[", 100_000), refused: "levels deep"},
		{name: "deep objects in a key", document: doc(strings.Repeat(`{"a":`, 20)), refused: "keys[0]: nested more than 16"},
		{name: "many members", document: manyMembers(257), refused: "more than 256 members"},
		{name: "many keys", document: doc(slicesOf(`{}`, federation.MaxAuthorities+1)...), refused: "more than 256 elements"},
		{name: "a large document", document: `{"keys":[],"a":"` + strings.Repeat(" ", federation.MaxBundleBytes) + `"}`, refused: "longer than 262144 bytes"},
		{name: "JS_18 kid twice", document: doc(goodJWT, good, jwtKey("RSA", "a", rsa)), refused: `keys[2]: kid "a" is also that of keys[0]`},
		{name: "JS_18 kid twice with the same key", document: doc(goodJWT, goodJWT), refused: "is also that of keys[0]"},
		{name: "JS_18 kid twice by an escape", document: doc(goodJWT, strings.Replace(goodJWT, `"kid":"a"`, `"kid":"\u0061"`, 1)), refused: "is also that"},

		// Elements whose kty and use are known, and that cannot be understood.
		{name: "element is a string", document: doc(`"EC"`), refused: "keys[0]: a JWK must be an object"},
		{name: "element is null", document: doc(good, `null`), refused: "keys[1]: a JWK must be an object"},
		{name: "XS_26 x5c in base64url", document: doc(root("EC", `["`+base64.RawURLEncoding.EncodeToString(ca.Raw)+`"]`)), refused: "not base64"},
		{name: "XS_26 x5c in PEM", document: doc(root("EC", `["-----BEGIN CERTIFICATE-----"]`)), refused: "keys[0]: x5c[0] is not base64"},
		{name: "x5c is a string", document: doc(root("EC", `"`+b64(ca)+`"`)), refused: "x5c must be an array"},
		{name: "x5c holds a number", document: doc(root("EC", `[1]`)), refused: "x5c[0] must be a string"},
		{name: "certificate cut short", document: doc(root("EC", `["`+b64(ca)[:100]+`"]`)), refused: "the certificate in x5c"},
		{name: "bytes after the certificate", document: doc(root("EC", `["`+base64.StdEncoding.EncodeToString(append(ca.Raw[:len(ca.Raw):len(ca.Raw)], 0))+`"]`)), refused: "the certificate in x5c"},
		{name: "certificate of another key", document: doc(`{"kty":"EC","use":"x509-svid",` + members(t, "p256b") + `,"x5c":["` + b64(ca) + `"]}`), refused: "another public key"},
		{name: "certificate of another kty", document: doc(root("RSA", `["`+b64(ca)+`"]`)), refused: "kty is RSA"},
		{name: "kid is a number", document: doc(`{"kty":"EC","use":"jwt-svid","kid":1,` + ec + `}`), refused: "kid must be a string"},
		{name: "key without its point", document: doc(`{"kty":"EC","use":"jwt-svid","kid":"a","crv":"P-256"}`), refused: "x is missing"},
		{name: "key without its curve", document: doc(`{"kty":"EC","use":"jwt-svid","kid":"a","x":"AA","y":"AA"}`), refused: `crv ""`},
		{name: "short coordinate", document: doc(jwtKey("EC", "a", `"crv":"P-256","x":"AAAA","y":"AAAA"`)), refused: "x has 3 bytes"},
		{name: "point off the curve", document: doc(jwtKey("EC", "a", `"crv":"P-256","x":"`+strings.Repeat("A", 43)+`","y":"`+strings.Repeat("A", 43)+`"`)), refused: "no point of P-256"},
		{name: "coordinate with padding", document: doc(jwtKey("EC", "a", `"crv":"P-256","x":"`+strings.Repeat("A", 43)+`=","y":"AA"`)), refused: "x is not base64url"},
		{name: "coordinate is a number", document: doc(jwtKey("EC", "a", `"crv":"P-256","x":7,"y":"AA"`)), refused: "x must be a string"},
		{name: "RSA without exponent", document: doc(jwtKey("RSA", "a", `"n":"`+long+`AB"`)), refused: "e is missing"},
		{name: "even modulus", document: doc(jwtKey("RSA", "a", `"n":"AAAA","e":"AQAB"`)), refused: "n is even"},
		{name: "exponent 1", document: doc(jwtKey("RSA", "a", `"n":"AQAB","e":"AQ"`)), refused: "e must be an odd number"},
		{name: "large exponent", document: doc(jwtKey("RSA", "a", `"n":"AQAB","e":"AQAAAAE"`)), refused: "e must be an odd number"},

		// Numbers.
		{name: "TB_6 sequence 2^64", document: `{"keys":[],"spiffe_sequence":18446744073709551616}`, refused: "spiffe_sequence is 18446744073709551616"},
		{name: "TB_4 negative sequence", document: `{"keys":[],"spiffe_sequence":-1}`, refused: "byte 29: spiffe_sequence is -1"},
		{name: "TB_4 fractional sequence", document: `{"keys":[],"spiffe_sequence":1.5}`, refused: "must be an integer"},
		{name: "TB_4 sequence with exponent", document: `{"keys":[],"spiffe_sequence":1e3}`, refused: "must be an integer"},
		{name: "TB_4 sequence is a string", document: `{"keys":[],"spiffe_sequence":"7"}`, refused: "the number"},
		{name: "TB_4 sequence is null", document: `{"keys":[],"spiffe_sequence":null}`, refused: "the number"},
		{name: "sequence with a leading zero", document: `{"keys":[],"spiffe_sequence":07}`, refused: "begin with 0"},
		{name: "TB_8 hint is a string", document: `{"keys":[],"spiffe_refresh_hint":"60"}`, refused: "the number of seconds"},
		{name: "TB_8 hint is null", document: `{"keys":[],"spiffe_refresh_hint":null}`, refused: "the number of seconds"},
		{name: "hint without digits", document: `{"keys":[],"spiffe_refresh_hint":-}`, refused: "a digit"},
		{name: "hint with a bare point", document: `{"keys":[],"spiffe_refresh_hint":1.}`, refused: "after the decimal point"},
		{name: "hint with a bare exponent", document: `{"keys":[],"spiffe_refresh_hint":1e}`, refused: "exponent"},
	}
}

func rsaMembers(bits int) string {
	n := make([]byte, bits/8)
	n[0], n[len(n)-1] = 0x80, 1
	return fmt.Sprintf(`"n":%q,"e":"AQAB"`, base64.RawURLEncoding.EncodeToString(n))
}

func edMembers() string {
	return fmt.Sprintf(`"crv":"Ed25519","x":%q`, base64.RawURLEncoding.EncodeToString(make([]byte, 32)))
}

func manyMembers(n int) string {
	var b strings.Builder
	b.WriteString(`{"keys":[]`)
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":0`, i)
	}
	return b.String() + "}"
}

func slicesOf(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func TestHostileDocuments(t *testing.T) {
	for _, tc := range hostileDocuments(t) {
		t.Run(tc.name, func(t *testing.T) {
			b, ignored, err := federation.Parse(bank, []byte(tc.document))
			if tc.refused != "" {
				var wrong *federation.ParseError
				if !errors.As(err, &wrong) || !strings.Contains(err.Error(), tc.refused) || b != nil {
					t.Fatalf("got %v, want an error with %q", err, tc.refused)
				}
				if wrong.Offset < 0 || wrong.Offset > len(tc.document) || len(err.Error()) > 400 {
					t.Errorf("offset %d of %d, %d bytes of words", wrong.Offset, len(tc.document), len(err.Error()))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(b.X509) != tc.x509 || len(b.JWT) != tc.jwt {
				t.Errorf("%d X.509 and %d JWT authorities, want %d and %d", len(b.X509), len(b.JWT), tc.x509, tc.jwt)
			}
			if len(ignored) != len(tc.ignored) {
				t.Fatalf("ignored %v, want %q", ignored, tc.ignored)
			}
			for i, words := range tc.ignored {
				if !strings.Contains(ignored[i].String(), words) || tc.document[ignored[i].Offset] != '{' {
					t.Errorf("ignored %v, want %q", ignored[i], words)
				}
			}
		})
	}
}

func TestTB_6_SequenceKeepsAllItsBits(t *testing.T) {
	for _, n := range []uint64{0, 1, 1<<53 + 1, 1 << 63, math.MaxUint64} {
		b, _, err := federation.Parse(bank, fmt.Appendf(nil, `{"keys":[],"spiffe_sequence":%d}`, n))
		if err != nil || !b.Sequenced || b.Sequence != n {
			t.Errorf("%d: read as %+v, %v", n, b, err)
		}
	}
	if b, _, err := federation.Parse(bank, []byte(`{"keys":[]}`)); err != nil || b.Sequenced || b.Hinted {
		t.Errorf("an absent sequence is read as %+v, %v", b, err)
	}
}

func TestTB_8_AnyNumericHintIsReadAndPollingStaysInRange(t *testing.T) {
	for text, want := range map[string]struct{ hint, poll time.Duration }{
		`0`:                      {0, federation.MinPollInterval},
		`-0`:                     {0, federation.MinPollInterval},
		`-1`:                     {0, federation.MinPollInterval},
		`-1e400`:                 {0, federation.MinPollInterval},
		`-9223372036854775808`:   {0, federation.MinPollInterval},
		`1`:                      {time.Second, federation.MinPollInterval},
		`4.999`:                  {4 * time.Second, federation.MinPollInterval},
		`60`:                     {time.Minute, time.Minute},
		`6e1`:                    {time.Minute, time.Minute},
		`1e-400`:                 {0, federation.MinPollInterval},
		`86400`:                  {24 * time.Hour, federation.MaxPollInterval},
		`9223372036854775807`:    {federation.MaxHint, federation.MaxPollInterval},
		`9223372036854775808`:    {federation.MaxHint, federation.MaxPollInterval},
		`18446744073709551616`:   {federation.MaxHint, federation.MaxPollInterval},
		`1e400`:                  {federation.MaxHint, federation.MaxPollInterval},
		strings.Repeat("9", 5e4): {federation.MaxHint, federation.MaxPollInterval},
	} {
		b, _, err := federation.Parse(bank, []byte(`{"keys":[],"spiffe_refresh_hint":`+text+`}`))
		if err != nil || !b.Hinted || b.Hint != want.hint || b.PollInterval() != want.poll {
			t.Errorf("hint %.30s: %v, %v", text, b, err)
		}
	}
}

func TestTB_18_WithoutAHintPollEveryFiveMinutes(t *testing.T) {
	var none *federation.Bundle
	for _, b := range []*federation.Bundle{none, {TrustDomain: bank}} {
		if got := b.PollInterval(); got != 5*time.Minute {
			t.Errorf("poll every %v", got)
		}
	}
}

func TestABundleWithoutTrustDomainIsRefused(t *testing.T) {
	var none = federation.Bundle{}.TrustDomain
	if _, _, err := federation.Parse(none, []byte(`{"keys":[]}`)); err == nil {
		t.Error("read")
	}
	if _, err := federation.ParsePEM(none, sample(t).PEM()); err == nil {
		t.Error("read")
	}
}
