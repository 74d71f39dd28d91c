package federation_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/federation"
)

var urls = []struct{ url, refused string }{
	{"https://bank.example", ""},
	{"https://bank.example:8443/bundle?v=1", ""},
	{"HTTPS://10.0.0.1/", ""},
	{"https://[::1]:8443/", ""},
	{"", "empty"},
	{"http://bank.example/", "must be https"},
	{"bank.example:8443", "must be https"},
	{"//bank.example/", "must be https"},
	{"spiffe://bank.example/", "must be https"},
	{"https://user:hunter2@bank.example/", "user or password"},
	{"https://user@bank.example/", "user or password"},
	{"https://@bank.example/", "user or password"},
	{"https://bank.example/#part", "fragment"},
	{"https://bank.example/#", "fragment"},
	{"https://", "no host"},
	{"https:///bundle", "no host"},
	{"https:bank.example", "no host"},
	{"https://:8443/", "no host"},
	{"https://bank.example:0/", "port"},
	{"https://bank.example:/", "port"},
	{"https://bank.example:65536/", "port"},
	{"https://bank.example:x/", "no URL"},
	{"https://bank.example/ bundle", "white space"},
	{"https://bank.example/\nHost: x", "white space"},
	{"https://bank.example/\x00", "no URL"},
	{"https://bank.example/%zz", "no URL"},
	{"https://[::1/", "no URL"},
	{"https://bank.example/" + strings.Repeat("a", 2048), "2048"},
}

func TestFD_8_EndpointURL(t *testing.T) {
	for _, tc := range urls {
		_, err := federation.ParseURL(tc.url)
		if tc.refused == "" && err != nil {
			t.Errorf("%.60q: %v", tc.url, err)
		}
		if tc.refused != "" && (err == nil || !strings.Contains(err.Error(), tc.refused)) {
			t.Errorf("%.60q: %v, want %q", tc.url, err, tc.refused)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error holds a password: %v", err)
		}
	}
}

func TestRelationship(t *testing.T) {
	web := federation.Relationship{TrustDomain: bank, URL: "https://bank.example", Profile: federation.HTTPSWeb}
	spiffe := federation.Relationship{TrustDomain: bank, URL: "https://bank.example", Profile: federation.HTTPSSPIFFE,
		EndpointID: spiffeid.RequireFromString("spiffe://bank.example/spire/server")}
	roots := (&federation.Bundle{X509: []*x509.Certificate{authority(t, "p256", bank)}}).PEM()
	with := func(r federation.Relationship, change func(*federation.Relationship)) federation.Relationship {
		change(&r)
		return r
	}
	for _, tc := range []struct {
		name    string
		r       federation.Relationship
		refused string
	}{
		{"FD_23 https_web needs no more", web, ""},
		{"https_web with its own roots", with(web, func(r *federation.Relationship) { r.Roots = roots }), ""},
		{"FD_29 https_spiffe with its ID", spiffe, ""},
		{"FD_31 an endpoint of another domain", with(spiffe, func(r *federation.Relationship) {
			r.EndpointID = spiffeid.RequireFromString("spiffe://acme.example/gateway")
		}), ""},
		{"FD_21 no trust domain", with(web, func(r *federation.Relationship) { r.TrustDomain = spiffeid.TrustDomain{} }), "no trust domain"},
		{"FD_21 no URL", with(web, func(r *federation.Relationship) { r.URL = "" }), "URL of bank.example: it is empty"},
		{"FD_22 no profile", with(web, func(r *federation.Relationship) { r.Profile = "" }), `profile "" must be https_web or https_spiffe`},
		{"FD_22 profile in other case", with(web, func(r *federation.Relationship) { r.Profile = "HTTPS_WEB" }), "must be https_web"},
		{"ID_17 a long trust domain", with(web, func(r *federation.Relationship) {
			r.TrustDomain = spiffeid.RequireTrustDomainFromString(strings.Repeat("a", 256))
		}), "256 bytes"},
		{"ID_15 the longest trust domain", with(web, func(r *federation.Relationship) {
			r.TrustDomain = spiffeid.RequireTrustDomainFromString(strings.Repeat("a", 255))
		}), ""},
		{"FD_29 no endpoint ID", with(spiffe, func(r *federation.Relationship) { r.EndpointID = spiffeid.ID{} }), "needs the SPIFFE ID"},
		{"XS_23 an endpoint ID without a path", with(spiffe, func(r *federation.Relationship) { r.EndpointID = bank.ID() }), "no path"},
		{"a long endpoint ID", with(spiffe, func(r *federation.Relationship) {
			r.EndpointID = spiffeid.RequireFromString("spiffe://bank.example/" + strings.Repeat("a", 2048))
		}), "longer than 2048"},
		{"roots for https_spiffe", with(spiffe, func(r *federation.Relationship) { r.Roots = roots }), "takes no CA certificates"},
		{"an ID for https_web", with(web, func(r *federation.Relationship) { r.EndpointID = spiffe.EndpointID }), "takes no endpoint ID"},
		{"roots that are none", with(web, func(r *federation.Relationship) { r.Roots = []byte("-") }), "no PEM block"},
		{"too many roots", with(web, func(r *federation.Relationship) { r.Roots = make([]byte, federation.MaxRootsBytes+1) }), "65536"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.r.Validate()
			if tc.refused == "" && err != nil {
				t.Fatal(err)
			}
			if tc.refused != "" && (err == nil || !strings.Contains(err.Error(), tc.refused)) {
				t.Fatalf("got %v, want %q", err, tc.refused)
			}
		})
	}
}
