package admin_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/memcluster"
)

func TestADocumentIsReadStrictlyAndSaysWhereItIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"nothing":                              {``, "ends at byte 0"},
		"nothing but space":                    {"  ", "ends at byte 0"},
		"null":                                 {`null`, "the body is not an object"},
		"a list":                               {`[]`, "the body is not an object"},
		"a text":                               {`"x"`, "the body is not an object"},
		"no end":                               {`{"spiffe_id":"x"`, "before its document does"},
		"no end of a text":                     {`{"spiffe_id":"x`, "before its document does"},
		"no comma":                             {`{"hint":"a" "admin":true}`, "byte 12"},
		"no colon":                             {`{"hint" "a"}`, "malformed at byte 8"},
		"a comma too many":                     {`{"hint":"a",}`, "malformed"},
		"a comment":                            {`{/**/}`, "malformed at byte 1"},
		"more behind it":                       {`{} {}`, "goes on after its document ends"},
		"rubbish behind it":                    {`{} x`, "goes on after its document ends"},
		"no UTF-8":                             {"{\"hint\":\"\xff\"}", "not UTF-8"},
		"half a pair of surrogates":            {`{"hint":"\ud800"}`, "hint has U+FFFD"},
		"a member that is unknown":             {`{"spiffeid":"x"}`, `no member "spiffeid"; the nearest is "spiffe_id"`},
		"a member in other letters":            {`{"Hint":"x"}`, `no member "Hint"; the nearest is "hint"`},
		"a member without a name":              {`{"":1}`, `no member ""`},
		"a member that is like no other":       {`{"colour":"blue"}`, `no member "colour": there are admin, `},
		"a member twice":                       {`{"hint":"a","hint":"a"}`, "hint is there twice, again at byte 18"},
		"a member twice, once escaped":         {`{"hint":"a","\u0068int":"b"}`, "hint is there twice"},
		"a member that is null":                {`{"hint":null}`, "hint is null"},
		"a list that is null":                  {`{"selectors":null}`, "selectors is null"},
		"an element that is null":              {`{"selectors":["unix:uid:1",null]}`, "selectors[1] is null"},
		"an element of another kind":           {`{"selectors":["unix:uid:1",2]}`, "selectors[1] is number, want a string"},
		"a list that is a text":                {`{"selectors":"unix:uid:1"}`, "selectors is not an array"},
		"a text that is a list":                {`{"hint":[1]}`, "hint is array, want a string"},
		"a flag that is a text":                {`{"admin":"true"}`, "admin is string, want true or false"},
		"a revision that is negative":          {`{"revision":-1}`, "revision is number -1, want a whole number"},
		"a revision that is too large":         {`{"revision":18446744073709551616}`, "want a whole number"},
		"a revision with a fraction":           {`{"revision":1.5}`, "want a whole number"},
		"a length of time in words":            {`{"x509_svid_ttl":"an hour"}`, "x509_svid_ttl: \"an hour\" is not a length of time"},
		"a length of time without end":         {`{"x509_svid_ttl":1e300}`, "292 years"},
		"a length of time that is a list":      {`{"x509_svid_ttl":[]}`, "not a length of time"},
		"a length of time that is null":        {`{"x509_svid_ttl":null}`, "x509_svid_ttl is null"},
		"a moment in words":                    {`{"expires_at":"tomorrow"}`, "expires_at is \"tomorrow\": write a time as RFC 3339 does"},
		"a moment that is a number":            {`{"expires_at":1}`, "expires_at is 1: write"},
		"deep rubbish":                         {`{"hint":` + strings.Repeat("[", 100_000), "malformed"},
		"deep rubbish where a list is":         {`{"selectors":` + strings.Repeat("[", 100_000), "malformed"},
		"a member that is unknown, and deeper": {`{"status":{"stat":1}}`, `no member "status"`},
	} {
		t.Run(name, func(t *testing.T) {
			var e client.Entry
			wantRefusal(t, admin.ReadDocument([]byte(c.text), &e), c.says)
		})
	}
}

func TestADocumentInsideAnotherIsReadAsStrictly(t *testing.T) {
	for text, says := range map[string]string{
		`{"status":{"state":"active","state":"active"}}`: "status.state is there twice",
		`{"status":{"stat":"active"}}`:                   `no member "stat" in status; the nearest is "state"`,
		`{"status":null}`:                                "status is null",
		`{"bundle":null}`:                                "bundle is null",
		`{"status":{"alarms":["a",{}]}}`:                 "status.alarms[1] is object, want a string",
	} {
		var r client.NewRelationship
		wantRefusal(t, admin.ReadDocument([]byte(text), &r), says)
	}
}

func TestABundleInsideADocumentIsReadByTheRulesOfBundles(t *testing.T) {
	s := serve(t, memcluster.Options{})
	in := relationshipWith(bank, []byte(`{"keys":[],"keys":[]}`))
	wantError(t, s.ask(t, http.MethodPost, "/v1/federation", in), http.StatusBadRequest, "invalid_argument", "bundle of bank.example", `"keys" appears twice`)
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	var s client.Settings
	wantRefusal(t, admin.ReadDocument([]byte(`{"refresh_hint":"1m"}`), &s, "refresh_hint", "publication_window"), "publication_window is missing")
}

func TestADocumentThatIsRightIsRead(t *testing.T) {
	var p client.EntryPatch
	text := ` {"hint":"\u0041<>","dns_names":[],"admin":false,"x509_svid_ttl":90,"jwt_svid_ttl":"2m","expires_at":"2031-01-31T12:00:00+01:00","if_revision":7} `
	if err := admin.ReadDocument([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(p)
	want := `{"x509_svid_ttl":"1m30s","jwt_svid_ttl":"2m0s","dns_names":[],"hint":"A\u003c\u003e","admin":false,"expires_at":"2031-01-31T12:00:00+01:00","if_revision":7}`
	if err != nil || string(again) != want {
		t.Errorf("read %s, %v\nwant %s", again, err, want)
	}
}

func wantRefusal(t testing.TB, err error, says string) {
	t.Helper()
	if broker.CodeOf(err) != broker.InvalidArgument || !strings.Contains(err.Error(), says) {
		t.Errorf("answered %v, want a refusal that says %q", err, says)
	}
}

// kinds are the documents that requests have.
var kinds = []func() any{
	func() any { return new(client.Entry) }, func() any { return new(client.EntryPatch) }, func() any { return new(client.NewRelationship) },
	func() any { return new(client.Settings) }, func() any { return new(client.LogLevel) }, func() any { return new(client.MintX509) },
	func() any { return new(client.MintJWT) },
}

var documentSeeds = []string{
	`{"spiffe_id":"spiffe://acme.example/db","selectors":["unix:uid:1"],"federates_with":["bank.example"],"x509_svid_ttl":"1h","revision":0}`,
	`{"hint":"internal","dns_names":[],"expires_at":"2031-01-31T12:00:00Z","if_revision":1}`,
	`{"trust_domain":"bank.example","url":"https://bank.example","profile":"https_web","bundle":{"keys":[]},"status":{"state":"active","age":1.5,"alarms":["x"]}}`,
	`{"refresh_hint":"1m0s","publication_window":-1e-9,"x509_svid_ttl":3600,"jwt_svid_ttl":"5m","intermediate_ttl":"24h","root_ttl":"2160h"}`,
	`{"level":"debug-4"}`, `{"csr":"-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----"}`,
	`{"spiffe_id":"spiffe://acme.example/db","audience":["a","b"],"ttl":"-2562047h47m16.854775808s"}`,
	`{"hint":"a","hint":"b"}`, `{"Hint":"a"}`, `{"selectors":[null]}`, `{"hint":"\ud800"}`, `[[[[`, `{}{}`, `null`, ``,
}

// FuzzDocument wants what is accepted to be what encoding/json reads, and what
// was read to be read the same again; and a refusal to be fit for an answer.
func FuzzDocument(f *testing.F) {
	for i, seed := range documentSeeds {
		f.Add(uint8(i), []byte(seed))
		f.Add(uint8(i+1), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, kind uint8, text []byte) {
		read, plain, again := kinds[int(kind)%len(kinds)](), kinds[int(kind)%len(kinds)](), kinds[int(kind)%len(kinds)]()
		if err := admin.ReadDocument(text, read); err != nil {
			if broker.CodeOf(err) != broker.InvalidArgument || !utf8.ValidString(err.Error()) || len(err.Error()) > 4096 {
				t.Fatalf("refused with %q", err)
			}
			return
		}
		if err := json.Unmarshal(text, plain); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if !reflect.DeepEqual(read, plain) {
			t.Fatalf("read %+v, encoding/json %+v", read, plain)
		}
		written, err := json.Marshal(read)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(written, []byte(":null")) {
			return // Go writes so a list that was left away
		}
		if err := admin.ReadDocument(written, again); err != nil {
			t.Fatalf("%s is refused: %v", written, err)
		}
		if rewritten, err := json.Marshal(again); err != nil || string(rewritten) != string(written) {
			t.Fatalf("%s, then %s, %v", written, rewritten, err)
		}
	})
}
