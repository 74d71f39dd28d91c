package ca_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/ca"
)

var web = spiffeid.RequireFromString("spiffe://acme.example/web")

func TestX509RequestsThatAreRefused(t *testing.T) {
	_, signer := authority(t, acme, ca.X509, ca.P256)
	good := ca.X509Request{ID: web, PublicKey: signer.Public(), TTL: time.Hour, DNSNames: []string{"web.acme.example", "*.web.acme.example", "db_1"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*ca.X509Request)
		want   string
	}{
		"no ID":            {func(r *ca.X509Request) { r.ID = spiffeid.ID{} }, "no SPIFFE ID"},
		"XS_3 root path":   {func(r *ca.X509Request) { r.ID = acme.ID() }, "has a path"},
		"ID_16 2049 bytes": {func(r *ca.X509Request) { r.ID = longID(2049) }, "2049 bytes"},
		"ID_17 a domain of 256": {func(r *ca.X509Request) {
			r.ID = spiffeid.RequireFromString("spiffe://" + strings.Repeat("a", 256) + "/x")
		}, "256 bytes"},
		"no life":                 {func(r *ca.X509Request) { r.TTL = 0 }, "cannot live"},
		"negative life":           {func(r *ca.X509Request) { r.TTL = -time.Second }, "cannot live"},
		"no key":                  {func(r *ca.X509Request) { r.PublicKey = nil }, "no public key"},
		"65 DNS names":            {func(r *ca.X509Request) { r.DNSNames = strings.Split(strings.Repeat("a,", 64)+"a", ",") }, "65 DNS names"},
		"an empty DNS name":       {func(r *ca.X509Request) { r.DNSNames = []string{""} }, "0 bytes"},
		"a long DNS name":         {func(r *ca.X509Request) { r.DNSNames = []string{strings.Repeat("a.", 127)} }, "254 bytes"},
		"an empty label":          {func(r *ca.X509Request) { r.DNSNames = []string{"a..b"} }, "label"},
		"a long label":            {func(r *ca.X509Request) { r.DNSNames = []string{strings.Repeat("a", 64)} }, "label"},
		"a leading hyphen":        {func(r *ca.X509Request) { r.DNSNames = []string{"-a"} }, "hyphen"},
		"an inner wildcard":       {func(r *ca.X509Request) { r.DNSNames = []string{"a.*.b"} }, "byte"},
		"a wildcard alone":        {func(r *ca.X509Request) { r.DNSNames = []string{"*."} }, "label"},
		"a byte above ASCII":      {func(r *ca.X509Request) { r.DNSNames = []string{"bücher"} }, "byte"},
		"a NUL in the DNS name":   {func(r *ca.X509Request) { r.DNSNames = []string{"a\x00b"} }, "byte"},
		"a line end in the names": {func(r *ca.X509Request) { r.DNSNames = []string{"a\n"} }, "byte"},
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			test.change(&r)
			if err := r.Validate(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
	r := good
	r.ID = longID(2048)
	if err := r.Validate(); err != nil {
		t.Errorf("ID_15: an ID of 2048 bytes: %v", err)
	}
}

func TestJS_9_TokensWithoutAnAudienceAreNotMade(t *testing.T) {
	good := ca.JWTRequest{ID: web, Audience: []string{"bank"}, TTL: time.Minute}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*ca.JWTRequest){
		"none":            func(r *ca.JWTRequest) { r.Audience = nil },
		"an empty list":   func(r *ca.JWTRequest) { r.Audience = []string{} },
		"an empty one":    func(r *ca.JWTRequest) { r.Audience = []string{""} },
		"one is empty":    func(r *ca.JWTRequest) { r.Audience = []string{"bank", ""} },
		"not UTF-8":       func(r *ca.JWTRequest) { r.Audience = []string{"\xff"} },
		"65":              func(r *ca.JWTRequest) { r.Audience = strings.Split(strings.Repeat("a,", 64)+"a", ",") },
		"5 KiB":           func(r *ca.JWTRequest) { r.Audience = []string{strings.Repeat("a", 5<<10)} },
		"JS_12 no end":    func(r *ca.JWTRequest) { r.TTL = 0 },
		"JS_8 no subject": func(r *ca.JWTRequest) { r.ID = spiffeid.ID{} },
		"the domain's ID": func(r *ca.JWTRequest) { r.ID = acme.ID() },
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			change(&r)
			if err := r.Validate(); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// longID is an ID of acme with exactly n bytes.
func longID(n int) spiffeid.ID {
	prefix := "spiffe://acme.example/"
	return spiffeid.RequireFromString(prefix + strings.Repeat("a", n-len(prefix)))
}
