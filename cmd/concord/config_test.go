package main

import (
	"strings"
	"testing"
	"time"

	"github.com/concord-id/concord/broker/node"
)

func TestConfigurationIsRead(t *testing.T) {
	c := node.Defaults()
	_, err := parseConfig("concord.yaml", []byte(`
trust-domain: acme.example
refresh-hint: 5s
issuance:
  max-staleness: 2m
federation:
  deny-networks:
    - 10.0.0.0/8
    - 192.168.0.0/16
`), &c)
	if err != nil {
		t.Fatal(err)
	}
	if c.TrustDomain != "acme.example" || c.RefreshHint != 5*time.Second || c.MaxStaleness != 2*time.Minute || len(c.DenyNetworks) != 2 {
		t.Errorf("read %+v", c)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfigurationErrorsNameTheLine(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an unknown key names the nearest":    {"data-dir: x\ntrust-domian: a\n", `concord.yaml:2: unknown key "trust-domian"; the nearest is "trust-domain"`},
		"an unknown key below a known group":  {"federation:\n  deny-network: [10.0.0.0/8]\n", `concord.yaml:2: unknown key "federation.deny-network"; the nearest is "federation.deny-networks"`},
		"a key twice":                         {"data-dir: x\nlog-level: info\ndata-dir: y\n", "concord.yaml:3: data-dir is set twice, first on line 1"},
		"not a duration":                      {"\nrefresh-hint: soon\n", `concord.yaml:2: refresh-hint: "soon" is not a valid value`},
		"a value that is a map":               {"data-dir:\n  a: b\n", "concord.yaml:2: data-dir: expected a value"},
		"a missing value":                     {"data-dir:\n", "concord.yaml:1: data-dir: expected a value"},
		"not a map at all":                    {"- a\n- b\n", "concord.yaml:1: expected settings"},
		"not YAML":                            {"a: [\n", "concord.yaml: yaml: line"},
		"an alias":                            {"data-dir: &x a\nnode-name: *x\n", "concord.yaml:2: anchors"},
		"every error is shown, not the first": {"aa: 1\nbb: 2\n", "concord.yaml:2: unknown key \"bb\""},
	} {
		t.Run(name, func(t *testing.T) {
			config := node.Defaults()
			_, err := parseConfig("concord.yaml", []byte(c.text), &config)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestConfigurationIsValidated(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*node.Config)
		want   string
	}{
		"an ID as trust domain":       {func(c *node.Config) { c.TrustDomain = "spiffe://acme.example/x" }, "trust-domain"},
		"upper case":                  {func(c *node.Config) { c.TrustDomain = "Acme.example" }, "trust-domain"},
		"a name with a slash":         {func(c *node.Config) { c.NodeName = "a/b" }, "node-name"},
		"https_web without files":     {func(c *node.Config) { c.BundleProfile = "https_web" }, "bundle-cert and bundle-key"},
		"https_spiffe with files":     {func(c *node.Config) { c.BundleCert = "x" }, "bundle-cert"},
		"another profile":             {func(c *node.Config) { c.BundleProfile = "http" }, "bundle-profile"},
		"Ed25519":                     {func(c *node.Config) { c.KeyType = "ed25519" }, "Ed25519 is not allowed"},
		"an SVID outlives its issuer": {func(c *node.Config) { c.X509TTL = 48 * time.Hour }, "x509-svid-ttl"},
		"a hint of nothing":           {func(c *node.Config) { c.RefreshHint = 0 }, "refresh-hint"},
		"a network that is none":      {func(c *node.Config) { c.DenyNetworks = []string{"10.0.0.0"} }, "10.0.0.0/8"},
	} {
		t.Run(name, func(t *testing.T) {
			config := node.Defaults()
			c.change(&config)
			if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to name %q", err, c.want)
			}
		})
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("trust-domain: acme.example\nissuance:\n  max-staleness: 2m\n")
	f.Add("a: &a [*a]\n")
	f.Add("federation: {deny-networks: [a, b]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > maxConfigBytes {
			return
		}
		c := node.Defaults()
		if _, err := parseConfig("f", []byte(text), &c); err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("an error without a place: %v", err)
		}
	})
}
