package workload_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/attest"
	"github.com/concord-id/concord/workload"
)

var acme = spiffeid.RequireTrustDomainFromString("acme.example")

// entry is one with which nothing is wrong, changed by change.
func entry(change func(*workload.Entry)) workload.Entry {
	e := workload.Entry{
		ID:        "e1",
		SPIFFEID:  spiffeid.RequireFromString("spiffe://acme.example/billing"),
		ParentID:  workload.AgentAlias(acme),
		Selectors: []attest.Selector{{Type: "unix", Value: "uid:1000"}},
	}
	change(&e)
	return e
}

func id(text string) spiffeid.ID { return spiffeid.RequireFromString(text) }

func domains(names ...string) []spiffeid.TrustDomain {
	var out []spiffeid.TrustDomain
	for _, n := range names {
		out = append(out, spiffeid.RequireTrustDomainFromString(n))
	}
	return out
}

func TestEntryRefused(t *testing.T) {
	many := make([]attest.Selector, attest.MaxSelectors+1)
	for i := range many {
		many[i] = attest.Selector{Type: "t", Value: fmt.Sprintf("%04d", i)}
	}
	for name, c := range map[string]struct {
		field  string
		change func(*workload.Entry)
	}{
		"ID_26_XS_foreign_domain": {"spiffe_id", func(e *workload.Entry) { e.SPIFFEID = id("spiffe://bank.example/x") }},
		"ID_26_foreign_parent":    {"parent_id", func(e *workload.Entry) { e.ParentID = id("spiffe://bank.example/x") }},
		"XS_3_no_path":            {"spiffe_id", func(e *workload.Entry) { e.SPIFFEID = id("spiffe://acme.example") }},
		"ID_16_2049_bytes":        {"spiffe_id", func(e *workload.Entry) { e.SPIFFEID = id("spiffe://acme.example/" + strings.Repeat("a", 2048-22+1)) }},
		"no SPIFFE ID":            {"spiffe_id", func(e *workload.Entry) { e.SPIFFEID = spiffeid.ID{} }},
		"reserved":                {"spiffe_id", func(e *workload.Entry) { e.SPIFFEID = id("spiffe://acme.example/spire/server") }},
		"reserved root":           {"spiffe_id", func(e *workload.Entry) { e.SPIFFEID = id("spiffe://acme.example/spire") }},
		"no parent":               {"parent_id", func(e *workload.Entry) { e.ParentID = spiffeid.ID{} }},
		"parent without path":     {"parent_id", func(e *workload.Entry) { e.ParentID = id("spiffe://acme.example") }},
		"no selectors":            {"selectors", func(e *workload.Entry) { e.Selectors = nil }},
		"selector without value":  {"selectors", func(e *workload.Entry) { e.Selectors[0].Value = "" }},
		"selector with a colon":   {"selectors", func(e *workload.Entry) { e.Selectors[0].Type = "a:b" }},
		"selector not UTF-8":      {"selectors", func(e *workload.Entry) { e.Selectors[0].Value = "path:/\xff" }},
		"selectors unsorted":      {"selectors", func(e *workload.Entry) { e.Selectors = append(e.Selectors, attest.Selector{Type: "a", Value: "b"}) }},
		"selector twice":          {"selectors", func(e *workload.Entry) { e.Selectors = append(e.Selectors, e.Selectors[0]) }},
		"too many selectors":      {"selectors", func(e *workload.Entry) { e.Selectors = many }},
		"stored, of two types": {"selectors", func(e *workload.Entry) {
			e.StoreSVID = true
			e.Selectors = []attest.Selector{{Type: "a", Value: "b"}, {Type: "b", Value: "b"}}
		}},
		"federates unsorted":       {"federates_with", func(e *workload.Entry) { e.FederatesWith = domains("b", "a") }},
		"federates twice":          {"federates_with", func(e *workload.Entry) { e.FederatesWith = domains("a", "a") }},
		"federates with nobody":    {"federates_with", func(e *workload.Entry) { e.FederatesWith = []spiffeid.TrustDomain{{}} }},
		"ID_17_federates_with_256": {"federates_with", func(e *workload.Entry) { e.FederatesWith = domains(strings.Repeat("a", 256)) }},
		"negative TTL":             {"x509_svid_ttl", func(e *workload.Entry) { e.X509TTL = -time.Second }},
		"TTL of half a second":     {"jwt_svid_ttl", func(e *workload.Entry) { e.JWTTTL = 500 * time.Millisecond }},
		"TTL of a century":         {"x509_svid_ttl", func(e *workload.Entry) { e.X509TTL = 100 * 365 * 24 * time.Hour }},
		"WA_32_hint_of_1025":       {"hint", func(e *workload.Entry) { e.Hint = strings.Repeat("h", 1025) }},
		"hint not UTF-8":           {"hint", func(e *workload.Entry) { e.Hint = "\xff" }},
		"hint of two lines":        {"hint", func(e *workload.Entry) { e.Hint = "a\nb" }},
		"ID too long":              {"id", func(e *workload.Entry) { e.ID = strings.Repeat("a", 256) }},
		"ID with a slash":          {"id", func(e *workload.Entry) { e.ID = "a/b" }},
		"expires before 1970":      {"expires_at", func(e *workload.Entry) { e.ExpiresAt = time.Unix(-5, 0) }},
		"expires in year 10000":    {"expires_at", func(e *workload.Entry) { e.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		"DNS name empty":           {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{""} }},
		"DNS name twice":           {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{"a", "a"} }},
		"DNS name with a space":    {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{"a b"} }},
		"DNS name with a slash":    {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{"a/b"} }},
		"DNS name ends with a dot": {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{"a.example."} }},
		"DNS name begins with -":   {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{"-a.example"} }},
		"DNS star alone":           {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{"*"} }},
		"DNS star inside":          {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{"a.*.example"} }},
		"DNS star in a label":      {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{"a*.example"} }},
		"DNS name not ASCII":       {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{"ä.example"} }},
		"DNS name with a zero":     {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{"a\x00.example"} }},
		"DNS label of 64":          {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{strings.Repeat("a", 64)} }},
		"DNS name of 254":          {"dns_names", func(e *workload.Entry) { e.DNSNames = []string{strings.Repeat("a.", 126) + "aa"} }},
		"too many DNS names":       {"dns_names", func(e *workload.Entry) { e.DNSNames = make([]string, workload.MaxDNSNames+1) }},
	} {
		t.Run(name, func(t *testing.T) {
			err := entry(c.change).Validate(acme)
			var wrong *workload.FieldError
			if !errors.As(err, &wrong) || wrong.Field != c.field {
				t.Errorf("got %v, want an error of field %s", err, c.field)
			}
		})
	}
}

func TestEntryAccepted(t *testing.T) {
	for name, change := range map[string]func(*workload.Entry){
		"plain":                   func(*workload.Entry) {},
		"ID not assigned":         func(e *workload.Entry) { e.ID = "" },
		"ID_15_2048_bytes":        func(e *workload.Entry) { e.SPIFFEID = id("spiffe://acme.example/" + strings.Repeat("a", 2048-22)) },
		"WA_32_hint_of_1024":      func(e *workload.Entry) { e.Hint = strings.Repeat("h", 1024) },
		"parent is the server":    func(e *workload.Entry) { e.ParentID = workload.ServerID(acme) },
		"parent is another entry": func(e *workload.Entry) { e.ParentID = id("spiffe://acme.example/alias") },
		"every field": func(e *workload.Entry) {
			e.FederatesWith = domains("a", "bank.example")
			e.X509TTL, e.JWTTTL = time.Hour, time.Minute
			e.DNSNames = []string{"billing.acme.example", "*.acme.example", "localhost", "xn--4ca.example"}
			e.ExpiresAt = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
			e.Admin, e.Downstream, e.StoreSVID = true, true, true
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := entry(change).Validate(acme); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCanonicalSortsAndFillsInTheParent(t *testing.T) {
	given := workload.Entry{
		SPIFFEID:      id("spiffe://acme.example/x"),
		Selectors:     []attest.Selector{{Type: "unix", Value: "uid:2"}, {Type: "unix", Value: "gid:1"}, {Type: "unix", Value: "uid:2"}},
		FederatesWith: domains("b", "a", "b"),
		DNSNames:      []string{"z", "a", "z"},
	}
	got := given.Canonical(acme)
	if err := got.Validate(acme); err != nil {
		t.Fatal(err)
	}
	if got.ParentID != workload.AgentAlias(acme) || len(got.Selectors) != 2 || !slices.Equal(got.FederatesWith, domains("a", "b")) || !slices.Equal(got.DNSNames, []string{"z", "a"}) {
		t.Errorf("%+v", got)
	}
	if given.Selectors[0].Value != "uid:2" || given.FederatesWith[0].Name() != "b" {
		t.Error("Canonical changed what it was given")
	}
}

// FuzzEntry wants what passes Validate to be what an issuer may write into a
// certificate and a message, and Canonical to change nothing twice.
func FuzzEntry(f *testing.F) {
	f.Add("e1", "spiffe://acme.example/a", "", "unix:uid:1", "bank.example", "a.example", "internal", int64(3600))
	f.Add("", "spiffe://acme.example/spire/x", "spiffe://acme.example/p", "x:y", "acme.example", "*.b", "\x00", int64(-1))
	f.Add("a/b", "spiffe://other/a", "spiffe://acme.example", ":", "A", "*", "h", int64(1)<<62)
	f.Fuzz(func(t *testing.T, entryID, spiffeID, parent, selector, federated, dns, hint string, ttl int64) {
		e := workload.Entry{ID: entryID, DNSNames: []string{dns, dns}, Hint: hint, X509TTL: time.Duration(ttl) * time.Second}
		e.SPIFFEID, _ = workload.ParseID(spiffeID)
		e.ParentID, _ = workload.ParseID(parent)
		if s, err := attest.ParseSelector(selector); err == nil {
			e.Selectors = []attest.Selector{s, s}
		}
		if td, err := workload.ParseTrustDomain(federated); err == nil {
			e.FederatesWith = append(e.FederatesWith, td, td)
		}
		e = e.Canonical(acme)
		if again := e.Canonical(acme); fmt.Sprint(again) != fmt.Sprint(e) {
			t.Fatalf("Canonical is not stable: %+v, then %+v", e, again)
		}
		err := e.Validate(acme)
		if err != nil {
			var wrong *workload.FieldError
			if !errors.As(err, &wrong) || wrong.Problem == "" {
				t.Fatalf("%v names no field", err)
			}
			return
		}
		if !e.SPIFFEID.MemberOf(acme) || e.SPIFFEID.Path() == "" || workload.Reserved(e.SPIFFEID.Path()) || len(e.Selectors) != 1 || e.X509TTL < 0 {
			t.Fatalf("accepted: %+v", e)
		}
		if strings.ContainsAny(dns, " \x00/\\\"_") || strings.HasSuffix(dns, ".") {
			t.Fatalf("DNS name %q was accepted", dns)
		}
	})
}
