package story

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	workloadpb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	trustdomainv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/trustdomain/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/tests/world"
)

// malformedIDs are SPIFFE IDs that are none, by the clause that says so.
var malformedIDs = map[string]string{
	"ID_1 another scheme":            "http://acme.example/x",
	"ID_1 no scheme":                 "acme.example/x",
	"ID_2 no trust domain":           "spiffe:///x",
	"ID_3 a query":                   "spiffe://acme.example/x?a=1",
	"ID_3 an empty query":            "spiffe://acme.example/x?",
	"ID_4 a fragment":                "spiffe://acme.example/x#f",
	"ID_4 an empty fragment":         "spiffe://acme.example/x#",
	"ID_5 nothing but a user":        "spiffe://@/x",
	"ID_6 a user":                    "spiffe://u@acme.example/x",
	"ID_6 a port":                    "spiffe://acme.example:443/x",
	"ID_6 an empty port":             "spiffe://acme.example:/x",
	"ID_7 an upper-case domain":      "spiffe://Acme.example/x",
	"ID_18 an upper-case scheme":     "SPIFFE://acme.example/x",
	"ID_8 a space":                   "spiffe://acme .example/x",
	"ID_8 another alphabet":          "spiffe://acmé.example/x",
	"ID_8 an address in brackets":    "spiffe://[::1]/x",
	"ID_9 a percent in the domain":   "spiffe://acm%65.example/x",
	"ID_11 a percent in the path":    "spiffe://acme.example/%61",
	"ID_11 an escaped slash":         "spiffe://acme.example/a%2fb",
	"ID_12 an empty segment":         "spiffe://acme.example/a//b",
	"ID_12 a dot":                    "spiffe://acme.example/./a",
	"ID_12 two dots":                 "spiffe://acme.example/a/..",
	"ID_13 a trailing slash":         "spiffe://acme.example/a/",
	"ID_13 the domain with a slash":  "spiffe://acme.example/",
	"ID_14 a star":                   "spiffe://acme.example/a*",
	"ID_14 a zero byte":              "spiffe://acme.example/a\x00b",
	"ID_14 a line break":             "spiffe://acme.example/a\nb",
	"ID_16 2049 bytes":               "spiffe://acme.example/" + strings.Repeat("a", 2049-len("spiffe://acme.example/")),
	"ID_17 a domain of 256 bytes":    "spiffe://" + strings.Repeat("a", 256) + "/x",
	"nothing":                        "",
	"a backslash":                    `spiffe://acme.example\x`,
	"no name before the path's root": "spiffe://",
}

// at the door of everything that takes a SPIFFE ID: 400, InvalidArgument, or
// an exit code that is not 0; always with words, never normalised.
func TestMalformedSPIFFEIDsAreRefusedAtEveryDoor(t *testing.T) {
	t.Parallel()
	n, ctx := world.Start(t, "acme.example"), world.Soon(t)
	admin, conn := n.Admin(), n.Dial("admin.sock")
	admin.Register(client.Entry{SPIFFEID: n.ID("/me").String()})
	workload := workloadpb.NewSpiffeWorkloadAPIClient(n.Dial("workload.sock"))
	asWorkload := metadata.AppendToOutgoingContext(ctx, "workload.spiffe.io", "true")
	peers := trustdomainv1.NewTrustDomainClient(conn)
	before := admin.Status().Digest
	for name, id := range malformedIDs {
		t.Run(name, func(t *testing.T) {
			words := world.Refused(t, admin.Try(http.MethodPost, client.Path("entries"), nil,
				client.Entry{SPIFFEID: id, Selectors: []string{"unix:uid:7"}}, nil), "invalid_argument")
			if !strings.Contains(words, "spiffe_id") {
				t.Errorf("REST says %q", words)
			}
			if id != "" {
				world.Refused(t, admin.Try(http.MethodPost, client.Path("entries"), nil,
					client.Entry{SPIFFEID: "spiffe://acme.example/ok", ParentID: id, Selectors: []string{"unix:uid:7"}}, nil), "invalid_argument")
				if _, err := workload.FetchJWTSVID(asWorkload, &workloadpb.JWTSVIDRequest{Audience: []string{"a"}, SpiffeId: id}); status.Code(err) != codes.InvalidArgument {
					t.Errorf("the Workload API says %v", err)
				}
			}
			created, err := peers.BatchCreateFederationRelationship(ctx, &trustdomainv1.BatchCreateFederationRelationshipRequest{
				FederationRelationships: []*types.FederationRelationship{{
					TrustDomain: "bank.example", BundleEndpointUrl: "https://bank.example/",
					BundleEndpointProfile: &types.FederationRelationship_HttpsSpiffe{HttpsSpiffe: &types.HTTPSSPIFFEProfile{EndpointSpiffeId: id}},
				}},
			})
			if err != nil || created.Results[0].Status.Code != int32(codes.InvalidArgument) {
				t.Errorf("a relationship with this endpoint ID: %v, %v", created, err)
			}
			// SPIRE's API has an ID in two parts, and no place for its scheme.
			rest, ok := strings.CutPrefix(id, "spiffe://")
			if !ok {
				return
			}
			td, path, ok := strings.Cut(rest, "/")
			if ok {
				path = "/" + path
			}
			entries, err := entryv1.NewEntryClient(conn).BatchCreateEntry(ctx, &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{
				{SpiffeId: &types.SPIFFEID{TrustDomain: td, Path: path}, Selectors: mine()},
			}})
			if err != nil || entries.Results[0].Status.Code != int32(codes.InvalidArgument) {
				t.Errorf("SPIRE's entry API says %v, %v", entries, err)
			}
		})
	}
	if after := admin.Status().Digest; after != before {
		t.Error("a refused ID changed the state")
	}
}

func TestMalformedBundlesAreRefusedWithThePlace(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	bank := world.NewPeer(t, "bank.example", "https_web")
	good := string(bank.Bundle().Document)
	before := n.Admin().Status().Digest
	for name, c := range map[string]struct{ document, say string }{
		"TB_9 no keys":               {`{}`, `"keys" is missing`},
		"TB_9 null keys":             {`{"keys":null}`, "byte 8"},
		"a member twice":             {`{"keys":[],"keys":[]}`, "byte 11"},
		"TB_6 a sequence of 2^64":    {`{"keys":[],"spiffe_sequence":18446744073709551616}`, "spiffe_sequence"},
		"TB_4 a negative sequence":   {`{"keys":[],"spiffe_sequence":-1}`, "spiffe_sequence"},
		"TB_8 a hint that is text":   {`{"keys":[],"spiffe_refresh_hint":"60"}`, "seconds"},
		"XS_26 base64url":            {strings.Replace(good, `"x5c":["`, `"x5c":["-_`, 1), "keys[0]"},
		"JS_18 one kid for two keys": {strings.Replace(good, `"keys":[`, `"keys":[`+jwtElement(t, good)+`,`, 1), "kid"},
		"a list":                     {`[` + good + `]`, "object"},
		"a number":                   {`7`, "object"},
		"17 levels":                  {`{"keys":[],"x":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + `}`, "deep"},
		"300 KiB":                    {`{"keys":[],"x":"` + strings.Repeat("a", 300<<10) + `"}`, "262144"},
	} {
		t.Run(name, func(t *testing.T) {
			err := n.Admin().Try(http.MethodPut, client.Path("bundles", "bank.example"), nil, raw([]byte(c.document)), nil)
			if words := world.Refused(t, err, "invalid_argument"); !strings.Contains(words, c.say) {
				t.Errorf("it says %q, want %q", words, c.say)
			}
		})
	}
	if after := n.Admin().Status().Digest; after != before {
		t.Error("a refused bundle changed the state")
	}
}

// jwtElement is the first jwt-svid element of a bundle.
func jwtElement(t *testing.T, document string) string {
	t.Helper()
	for _, element := range strings.SplitAfter(strings.TrimSuffix(document[strings.Index(document, "[")+1:], "]}"), "},") {
		if strings.Contains(element, "jwt-svid") {
			end := strings.Index(element, "}")
			return element[:end+1]
		}
	}
	t.Fatalf("no JWT authority in %s", document)
	return ""
}

func TestMalformedEntriesAreRefusedWithTheField(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	admin := n.Admin()
	before := admin.Status().Digest
	with := func(member, value string) string {
		all := map[string]string{"spiffe_id": `"spiffe://acme.example/x"`, "selectors": `["unix:uid:7"]`}
		all[member] = value
		var parts []string
		for name, text := range all {
			parts = append(parts, fmt.Sprintf("%q:%s", name, text))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	for name, c := range map[string]struct{ body, say string }{
		"XS_3 the trust domain itself": {with("spiffe_id", `"spiffe://acme.example"`), "spiffe_id"},
		"ID_26 a foreign trust domain": {with("spiffe_id", `"spiffe://bank.example/x"`), "spiffe_id"},
		"a reserved path":              {with("spiffe_id", `"spiffe://acme.example/spire/server"`), "spire"},
		"a foreign parent":             {with("parent_id", `"spiffe://bank.example/x"`), "parent_id"},
		"no selectors":                 {with("selectors", `[]`), "selectors"},
		"a selector without a type":    {with("selectors", `["uid"]`), "selector"},
		"an empty selector":            {with("selectors", `[""]`), "selector"},
		"a selector of 10 KiB":         {with("selectors", `["unix:`+strings.Repeat("a", 10<<10)+`"]`), "selector"},
		"10,000 selectors":             {with("selectors", `["unix:uid:7"`+manySelectors(10_000)+`]`), "selectors"},
		"a malformed domain":           {with("federates_with", `["a b"]`), "federates_with"},
		"a negative life":              {with("x509_svid_ttl", `"-1h"`), "x509_svid_ttl"},
		"a life that is no time":       {with("x509_svid_ttl", `"soon"`), "soon"},
		"a malformed DNS name":         {with("dns_names", `["a..b"]`), "dns_names"},
		"a hint of 2 KiB":              {with("hint", `"`+strings.Repeat("a", 2<<10)+`"`), "hint"},
		"a member that is not known":   {with("spiffeid", `"x"`), "spiffeid"},
		"a member of another type":     {with("dns_names", `"x"`), "dns_names is not an array"},
		"trailing bytes":               {with("hint", `"x"`) + "{}", "byte"},
		"half a document":              {`{"spiffe_id":`, "byte"},
		"nothing":                      {``, "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := post(t, n, "application/json", c.body)
			if status != http.StatusBadRequest || !strings.Contains(body, `"invalid_argument"`) || !strings.Contains(body, c.say) {
				t.Errorf("it answers %d: %.300s", status, body)
			}
		})
	}
	if status, body := post(t, n, "text/plain", with("hint", `"x"`)); status != http.StatusUnsupportedMediaType || !strings.Contains(body, "application/json") {
		t.Errorf("plain text: %d: %s", status, body)
	}
	long := with("hint", `"`+strings.Repeat("a", 2<<20)+`"`)
	if status, body := post(t, n, "application/json", long); status != http.StatusRequestEntityTooLarge || !strings.Contains(body, "1048576") {
		t.Errorf("2 MiB: %d: %.300s", status, body)
	}
	if after := admin.Status().Digest; after != before {
		t.Error("a refused entry changed the state")
	}
}

func manySelectors(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, `,"unix:gid:%d"`, i)
	}
	return out.String()
}

// post sends a body to the entries of n as it is.
func post(t *testing.T, n *world.Node, kind, body string) (status int, answer string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", n.Path("admin.sock"))
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(world.Soon(t), http.MethodPost, "http://concord/v1/entries", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", kind)
	got, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got.StatusCode, string(text)
}

func TestAMalformedConfigurationIsRefusedWithTheLine(t *testing.T) {
	t.Parallel()
	dir := world.Dir(t)
	for name, c := range map[string]struct{ text, say string }{
		"an unknown key":         {"trust-domain: acme.example\ntrust-domian: a\n", `:2: unknown key "trust-domian"; the nearest is "trust-domain"`},
		"not YAML":               {"a: [\n", "line"},
		"ID_7 upper case":        {"trust-domain: Acme.example\n", "trust-domain"},
		"ID_17 256 bytes":        {"trust-domain: " + strings.Repeat("a", 256) + "\n", "255"},
		"an ID":                  {"trust-domain: spiffe://acme.example/x\n", "trust-domain"},
		"an empty label":         {"trust-domain: -..-\n", "between two dots"},
		"no files for a profile": {"bundle-profile: https_web\n", "bundle-cert"},
		"a life without a root":  {"x509-svid-ttl: 1000h\n", "x509-svid-ttl"},
		"a hint of nothing":      {"refresh-hint: 0s\n", "refresh-hint"},
		"no such kind of key":    {"key-type: ed25519\n", "key-type"},
		"no address":             {"listen-ops: nowhere\n", "listen-ops"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, stderr, code := world.Concord(t, "config", "check", file); code != 1 || !strings.Contains(stderr, c.say) || !strings.Contains(stderr, file) {
				t.Errorf("config check: exit code %d: %s", code, stderr)
			}
			data := strings.TrimSuffix(file, ".yaml")
			if _, stderr, code := world.Concord(t, "node", "run", "--config", file, "--data-dir", data); code != 2 || !strings.Contains(stderr, c.say) {
				t.Errorf("node run: exit code %d: %s", code, stderr)
			}
			if _, err := os.Stat(data); err == nil {
				t.Error("it made a data directory")
			}
		})
	}
}

func TestTheCommandLineRefusesWhatTheNodeWould(t *testing.T) {
	t.Parallel()
	n := world.Start(t, "acme.example")
	dir := world.Dir(t)
	bundle, good := filepath.Join(dir, "bundle.json"), filepath.Join(dir, "good.json")
	for file, document := range map[string]string{bundle: `{"keys":null}`, good: string(world.NewPeer(t, "bank.example", "https_web").Bundle().Document)} {
		if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args []string
		code int
		say  string
	}{
		"a malformed ID":         {[]string{"entry", "create", "--spiffe-id", "spiffe://acme.example/a//b", "--selector", "unix:uid:7"}, 1, "byte"},
		"no ID":                  {[]string{"entry", "create", "--selector", "unix:uid:7"}, 2, "spiffe-id"},
		"an unknown flag":        {[]string{"entry", "create", "--spiffeid", "x"}, 2, "spiffeid"},
		"an unknown command":     {[]string{"entry", "crate"}, 2, "create"},
		"a hostile bundle":       {[]string{"bundle", "set", "bank.example", bundle}, 1, "keys"},
		"our own bundle":         {[]string{"bundle", "set", "acme.example", good}, 1, "own"},
		"a relationship by http": {[]string{"federation", "create", "bank.example", "--url", "http://bank.example/", "--profile", "https_web"}, 1, "https"},
		"no node there":          {[]string{"status", "--socket", filepath.Join(n.Config.DataDir, "other.sock")}, 1, "no admin socket"},
	} {
		t.Run(name, func(t *testing.T) {
			args := c.args
			if args[0] != "status" {
				args = append(args, "--socket", n.Path("admin.sock"))
			}
			stdout, stderr, code := world.Concord(t, args...)
			if code != c.code || !strings.Contains(stderr, c.say) || stdout != "" {
				t.Errorf("exit code %d: %s%s", code, stdout, stderr)
			}
		})
	}
	if got := n.Admin().Status(); got.Entries != 0 || got.Bundles != 0 {
		t.Errorf("something was made: %+v", got)
	}
}
