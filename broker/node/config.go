// Package node builds one node of a trust domain out of its machines, runs it
// and stops it. It plugs machines together: what one needs, another has.
package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/concord-id/concord/broker/state"
	"github.com/concord-id/concord/ca"
	"github.com/concord-id/concord/federation"
)

// Config is everything that a node can be told. The zero value of a field
// means its default. The names in configuration files and on the command line
// are the ones in the comments.
type Config struct {
	TrustDomain string // trust-domain; "": a random UUID, kept in the data directory
	DataDir     string // data-dir
	NodeName    string // node-name; a segment of this node's agent ID

	ListenAPI    string // listen-api: gRPC over TLS
	ListenRaft   string // listen-raft: from other members
	ListenBundle string // listen-bundle: the bundle endpoint
	ListenOps    string // listen-ops: /live, /ready, /metrics

	AdvertiseRaft string // advertise-raft: where other members reach listen-raft; "": found out

	AdminGID int // admin-gid: the group that may administer; -1: the node's own user only

	BundleProfile federation.Profile // bundle-profile
	BundleCert    string             // bundle-cert: PEM file, https_web only
	BundleKey     string             // bundle-key: PEM file, https_web only

	RefreshHint       time.Duration // refresh-hint
	PublicationWindow time.Duration // publication-window; negative: 3 × the largest hint served
	X509TTL           time.Duration // x509-svid-ttl
	JWTTTL            time.Duration // jwt-svid-ttl
	IntermediateTTL   time.Duration // intermediate-ttl
	RootTTL           time.Duration // root-ttl
	KeyType           ca.KeyType    // key-type, of the domain's own authorities
	KeyManager        string        // key-manager: sealed or memory
	MaxStaleness      time.Duration // issuance.max-staleness
	RemoveSilent      time.Duration // cluster.remove-silent-after; 0: never

	DenyNetworks []string // federation.deny-networks: CIDR, never fetched from

	LogLevel  string // log-level: debug, info, warn, error
	LogFormat string // log-format: text or json
}

// The key managers.
const (
	KeysSealed = "sealed"
	KeysMemory = "memory"
)

// Defaults are what a node does that was told nothing.
func Defaults() Config {
	return Config{
		DataDir:           "concord-data",
		NodeName:          hostSegment(),
		ListenAPI:         "0.0.0.0:8081",
		ListenRaft:        "0.0.0.0:8300",
		ListenBundle:      "0.0.0.0:8443",
		ListenOps:         "127.0.0.1:8080",
		AdminGID:          -1,
		BundleProfile:     federation.HTTPSSPIFFE,
		RefreshHint:       time.Minute,
		PublicationWindow: -1,
		X509TTL:           time.Hour,
		JWTTTL:            5 * time.Minute,
		IntermediateTTL:   24 * time.Hour,
		RootTTL:           90 * 24 * time.Hour,
		KeyType:           ca.P256,
		KeyManager:        KeysSealed,
		MaxStaleness:      10 * time.Minute,
		LogLevel:          "info",
		LogFormat:         "text",
	}
}

var notInSegment = regexp.MustCompile(`[^a-zA-Z0-9._-]+`)

// hostSegment is the host's name as a segment of a SPIFFE ID.
func hostSegment() string {
	host, err := os.Hostname()
	if err != nil {
		return "node"
	}
	name := strings.Trim(notInSegment.ReplaceAllString(host, "-"), "-.")
	if name == "" {
		return "node"
	}
	return name
}

// Validate returns everything that is wrong with c, one error each.
func (c Config) Validate() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if c.TrustDomain != "" {
		// Only the name, never an ID: trust-domain: spiffe://a/b would hide a mistake.
		if td, err := spiffeid.TrustDomainFromString(c.TrustDomain); err != nil {
			wrong("trust-domain", "%q: %v", c.TrustDomain, err)
		} else if td.Name() != c.TrustDomain {
			wrong("trust-domain", "%q is not a trust domain's name; write %q", c.TrustDomain, td.Name())
		} else if len(c.TrustDomain) > 255 {
			wrong("trust-domain", "%d bytes, the most is 255", len(c.TrustDomain))
		} else if slices.Contains(strings.Split(c.TrustDomain, "."), "") {
			// Allowed by SPIFFE-ID §2.1, but crypto/x509 among others reads no such certificate.
			wrong("trust-domain", "%q has nothing between two dots, or at an end: much software cannot read certificates with such a name", c.TrustDomain)
		}
	}
	if c.DataDir == "" {
		wrong("data-dir", "is empty; name a directory that only this node uses")
	}
	if err := spiffeid.ValidatePathSegment(c.NodeName); err != nil || len(c.NodeName) > state.MaxMemberNameBytes {
		wrong("node-name", "%.140q is not a segment of a SPIFFE ID of at most %d bytes: letters, digits, dot, dash, underscore", c.NodeName, state.MaxMemberNameBytes)
	}
	c.validateAddresses(wrong)
	c.validateBundle(wrong)
	c.validateTimes(wrong)
	switch c.KeyType {
	case ca.P256, ca.P384, ca.RSA2048, ca.RSA4096:
	default:
		wrong("key-type", "%q; choose %s, %s, %s or %s (Ed25519 is not allowed by JWT-SVID §2.1)", c.KeyType, ca.P256, ca.P384, ca.RSA2048, ca.RSA4096)
	}
	if c.KeyManager != KeysSealed && c.KeyManager != KeysMemory {
		wrong("key-manager", "%q; choose %s or %s", c.KeyManager, KeysSealed, KeysMemory)
	}
	if _, err := c.denied(); err != nil {
		wrong("federation.deny-networks", "%v", err)
	}
	if _, err := parseLevel(c.LogLevel); err != nil {
		wrong("log-level", "%v", err)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		wrong("log-format", "%q; choose text or json", c.LogFormat)
	}
	return errors.Join(errs...)
}

func (c Config) validateAddresses(wrong func(key, format string, args ...any)) {
	for _, listen := range []struct{ key, address string }{
		{"listen-api", c.ListenAPI}, {"listen-raft", c.ListenRaft}, {"listen-bundle", c.ListenBundle}, {"listen-ops", c.ListenOps},
	} {
		_, port, err := net.SplitHostPort(listen.address)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			wrong(listen.key, "%.100q is not an address such as 127.0.0.1:8081, or :0 for any free port", listen.address)
		}
	}
}

func (c Config) validateBundle(wrong func(key, format string, args ...any)) {
	switch c.BundleProfile {
	case federation.HTTPSWeb:
		if c.BundleCert == "" || c.BundleKey == "" {
			wrong("bundle-profile", "https_web needs bundle-cert and bundle-key")
		}
	case federation.HTTPSSPIFFE:
		if c.BundleCert != "" || c.BundleKey != "" {
			wrong("bundle-cert", "only https_web takes certificate files; with https_spiffe the endpoint presents this domain's own SVID")
		}
	default:
		wrong("bundle-profile", "%q; choose %s or %s", c.BundleProfile, federation.HTTPSSPIFFE, federation.HTTPSWeb)
	}
}

func (c Config) validateTimes(wrong func(key, format string, args ...any)) {
	within := func(key string, d, least, most time.Duration) {
		if d < least || d > most {
			wrong(key, "%s is not between %s and %s", d, least, most)
		}
	}
	within("refresh-hint", c.RefreshHint, time.Second, 24*time.Hour)
	within("x509-svid-ttl", c.X509TTL, 30*time.Second, 30*24*time.Hour)
	within("jwt-svid-ttl", c.JWTTTL, 30*time.Second, 24*time.Hour)
	within("intermediate-ttl", c.IntermediateTTL, time.Minute, 366*24*time.Hour)
	within("root-ttl", c.RootTTL, 10*time.Minute, 40*366*24*time.Hour)
	within("issuance.max-staleness", c.MaxStaleness, time.Second, 24*time.Hour)
	if c.RemoveSilent != 0 {
		within("cluster.remove-silent-after", c.RemoveSilent, time.Minute, 366*24*time.Hour)
	}
	if c.PublicationWindow > 30*24*time.Hour {
		wrong("publication-window", "%s is longer than 30 days", c.PublicationWindow)
	}
	if c.X509TTL > c.IntermediateTTL {
		wrong("x509-svid-ttl", "%s is longer than intermediate-ttl (%s): no SVID outlives what signs it", c.X509TTL, c.IntermediateTTL)
	}
	if err := c.terms().Validate(); err != nil {
		wrong("root-ttl", "%v", err)
	}
}

// denied returns the networks that are never fetched from.
func (c Config) denied() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range c.DenyNetworks {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network such as 10.0.0.0/8", text)
		}
		out = append(out, prefix)
	}
	return out, nil
}

// terms are what the configured lifetimes mean for authorities.
func (c Config) terms() ca.Terms {
	return ca.Terms{
		Window: c.PublicationWindow, AuthorityTTL: c.RootTTL, IntermediateTTL: c.IntermediateTTL, JWTTTL: c.JWTTTL, Staleness: c.MaxStaleness,
	}
}
